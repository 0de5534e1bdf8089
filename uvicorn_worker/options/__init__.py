"""How options are declared, written, read, checked and told."""
