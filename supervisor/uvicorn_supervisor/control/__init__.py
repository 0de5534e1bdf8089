"""Questions and orders from outside: control socket, metrics, web page, and who asks there."""
