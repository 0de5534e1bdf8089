"""What is to be done: pure functions of state, event and time, and the words for both."""
