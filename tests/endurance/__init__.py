"""What becomes of requests at restarts, side by side with other servers, and over minutes."""
