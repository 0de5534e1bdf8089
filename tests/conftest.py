"""Fixtures for every test. Those of one kind of test live in the folder of that kind."""

from __future__ import annotations
