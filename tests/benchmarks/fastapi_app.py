"""A small FastAPI application: what a server's share is when a framework does its work, too."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

# Served from a folder where both files lie, see `running`.
from apps import serving_begins, serving_ended  # type: ignore[import-not-found]  # no package
from fastapi import FastAPI

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    serving_begins()
    yield
    serving_ended()


app = FastAPI(lifespan=_lifespan)


@app.get("/")
async def item() -> dict[str, object]:
    """Answer a small JSON object."""
    return {"id": 42, "name": "benchmark", "tags": ["a", "b", "c"], "price": 12.5}
