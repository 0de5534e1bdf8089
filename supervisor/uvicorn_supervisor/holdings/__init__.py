"""What a supervisor holds and hands on: listening sockets, pid file, upgrades."""
