"""Gunicorn's own configuration objects for tests, as a command line or a file would make them."""

from __future__ import annotations

from typing import Any

from gunicorn.config import Config


def gunicorn_config(**settings: object) -> Any:
    """Return a configuration of the installed Gunicorn with these settings."""
    cfg = Config()
    for name, value in settings.items():
        cfg.set(name, value)
    return cfg


def has_setting(name: str) -> bool:
    """Return whether the installed Gunicorn knows a setting."""
    return name in Config().settings
