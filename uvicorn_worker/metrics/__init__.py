"""What a server counts, how others read it, and how monitoring asks for it."""
