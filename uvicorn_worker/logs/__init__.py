"""What a server process logs: its setup, access lines, formats and files."""
