"""Keeps workers serving: starts, watches, reloads, recycles and stops them."""
