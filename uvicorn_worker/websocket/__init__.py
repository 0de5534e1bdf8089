"""WebSockets (RFC 6455, RFC 7692): handshake, frames, and the ASGI side of one connection."""
