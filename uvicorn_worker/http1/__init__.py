"""HTTP/1.1 and 1.0 (RFC 9110, RFC 9112): heads, bodies, one request cycle, one connection."""
