"""Listening sockets: what a bind means, how it is opened or inherited, and accepting on it."""
