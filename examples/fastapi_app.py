"""FastAPI with a lifespan, JSON in and out, and a streamed answer.

    pip install fastapi
    gunicorn -k uvicorn_worker.UvicornWorker --chdir examples fastapi_app:app

Then: curl http://127.0.0.1:8000/items/3
      curl http://127.0.0.1:8000/items -H 'Content-Type: application/json' -d '{"name": "pear"}'
      curl -N http://127.0.0.1:8000/countdown?seconds=3
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Item(BaseModel):
    """What a client sends and gets."""

    name: str


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, list[Item]]]:
    """Open what the application needs and close it at the end, once per worker."""
    items = [Item(name=name) for name in ("apple", "banana", "cherry", "date")]
    yield {"items": items}  # each request finds it as `request.state.items`
    items.clear()


app = FastAPI(lifespan=lifespan)


@app.get("/items/{number}")
async def read_item(number: int, request: Request) -> Item:
    """Return one item; 404 if there is none of that number."""
    items: list[Item] = request.state.items
    if not 0 <= number < len(items):
        raise HTTPException(404, "no such item")
    return items[number]


@app.post("/items", status_code=201)
async def add_item(item: Item, request: Request) -> dict[str, int]:
    """Keep the item (in this worker only) and return its number."""
    request.state.items.append(item)
    return {"number": len(request.state.items) - 1}


@app.get("/countdown")
async def countdown(seconds: float = 3.0, steps: int = 3) -> StreamingResponse:
    """Send one line at a time, each as soon as it is there."""

    async def lines() -> AsyncIterator[str]:
        for left in range(steps, 0, -1):
            yield f"{left}\n"
            await asyncio.sleep(seconds / steps)
        yield "lift-off\n"

    return StreamingResponse(lines(), media_type="text/plain")
