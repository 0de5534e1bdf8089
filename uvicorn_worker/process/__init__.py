"""The life of a server process: orders and signals, and how it ends."""
