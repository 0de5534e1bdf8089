"""Which files have changed (`--reload`)."""
