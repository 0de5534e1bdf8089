"""What the supervisor sees of its workers: heartbeats, memory, causes of standstill."""
