"""A database: a pool of connections that lives as long as its worker. SQLite or PostgreSQL.

    pip install fastapi 'sqlalchemy[asyncio]' aiosqlite asyncpg
    gunicorn -k uvicorn_worker.UvicornWorker --chdir examples database_app:app
    uvicorn-supervisor database_app:app --app-dir examples

Then: curl http://127.0.0.1:8000/notes -H 'Content-Type: application/json' -d '{"text": "milk"}'
      curl http://127.0.0.1:8000/notes

DATABASE_URL says which database, as platforms set it: postgresql://user:password@host/name. Without
it the notes are in notes.sqlite, in the working directory.

- The lifespan makes the pool, so each worker has one of its own, made after the fork. A connection
  made at import would be shared by all workers under `--preload`, and their answers mixed up.
- Workers times POOL is what the database has to allow (PostgreSQL's max_connections is 100), and
  while a reload or an upgrade goes on, once more for the workers that come.
- The worker is ready when a connection has worked. At its end the pool is closed after the last
  request was answered, so the database has nobody to time out.
"""

import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, Request
from pydantic import BaseModel
from sqlalchemy import insert, make_url, select, text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.schema import CreateTable

logging.basicConfig(level=logging.INFO)
log = logging.getLogger("example")

DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "postgres": "postgresql+asyncpg",
    "postgresql": "postgresql+asyncpg",
}
POOL = 5  # connections of a worker


class Base(DeclarativeBase):
    """The tables."""


class Note(Base):
    """A line somebody wants to remember."""

    __tablename__ = "notes"
    number: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]


def database() -> URL:
    """Return the address of the database, with a driver that does not block the event loop."""
    url = make_url(os.environ.get("DATABASE_URL") or "sqlite:///notes.sqlite")
    return url.set(drivername=DRIVERS.get(url.drivername, url.drivername))


async def make_tables(connection: AsyncConnection) -> None:
    """Make the tables that are missing; a real application has migrations for that.

    Workers start together, so nobody may look first and make them then. For PostgreSQL, where even
    IF NOT EXISTS fails when two are at it, they wait for each other.
    """
    if connection.dialect.name == "postgresql":
        await connection.execute(text("SELECT pg_advisory_xact_lock(1)"))
    for table in Base.metadata.sorted_tables:
        await connection.execute(CreateTable(table, if_not_exists=True))


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, AsyncEngine]]:
    """Open the pool, and close it when the last request was answered."""
    # pre_ping: a connection that the database has closed meanwhile is replaced, not handed out.
    engine = create_async_engine(database(), pool_size=POOL, max_overflow=0, pool_pre_ping=True)
    async with engine.begin() as connection:
        await make_tables(connection)
    log.info("pool opened: %s", engine.url.render_as_string(hide_password=True))
    yield {"engine": engine}
    await engine.dispose()
    log.info("pool closed")


app = FastAPI(lifespan=lifespan)


def the_pool(request: Request) -> AsyncEngine:
    """Return what the lifespan has made."""
    engine: AsyncEngine = request.state.engine
    return engine


Pool = Annotated[AsyncEngine, Depends(the_pool)]


class NewNote(BaseModel):
    """What a client sends."""

    text: str


@app.post("/notes", status_code=201)
async def add_note(note: NewNote, pool: Pool) -> dict[str, int]:
    """Keep a note and return its number; it is committed before the client hears of it."""
    statement = insert(Note).values(text=note.text).returning(Note.number)
    async with pool.begin() as connection:
        return {"number": (await connection.execute(statement)).scalar_one()}


@app.get("/notes")
async def read_notes(pool: Pool) -> list[dict[str, int | str]]:
    """Return all notes."""
    statement = select(Note.number, Note.text).order_by(Note.number)
    async with pool.connect() as connection:
        rows = (await connection.execute(statement)).all()
    return [{"number": number, "text": line} for number, line in rows]
