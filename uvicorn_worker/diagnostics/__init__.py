"""What a process that is stuck says of itself."""
