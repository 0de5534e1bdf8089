"""WebSockets over real sockets, with both pairs that ship: what clients and applications see."""
