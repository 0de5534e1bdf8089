"""The supervisor's log: its setup, its files, its lines about workers."""
