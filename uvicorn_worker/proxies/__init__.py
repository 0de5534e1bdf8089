"""What proxies tell of a connection and its requests, and who is believed."""
