"""From what a user calls an application to one that can be called: import, adapt, start, stop."""
