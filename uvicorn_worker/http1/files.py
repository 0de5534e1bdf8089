"""Send a file as the content of a response, without a copy through Python where possible."""

from __future__ import annotations

import asyncio
import os
import stat
from typing import TYPE_CHECKING, Final, Protocol

from uvicorn_worker.errors import ApplicationError, ClientDisconnected

if TYPE_CHECKING:
    import socket

# Bytes per call: one call must not keep the loop from other connections (1 MiB: about 0.1 ms).
SENDFILE_PART: Final = 1024 * 1024
READ_PART: Final = 128 * 1024


class FileTarget(Protocol):
    """The connection, as far as files are concerned."""

    transport: asyncio.Transport

    def abort(self) -> None:
        """Cut the connection."""

    def pause_writing(self) -> None:
        """The socket takes no more: `drained` waits, and the peer's patience is measured."""

    def resume_writing(self) -> None:
        """The socket takes more."""

    async def drained(self) -> None: ...

    async def flushed(self) -> None:
        """Return when the transport holds nothing; raises ClientDisconnected."""


def file_size(path: str) -> int:
    """Return the size of a regular file in bytes; raises ApplicationError where there is none."""
    try:
        status = os.stat(path)
    except (OSError, TypeError, ValueError) as exc:
        raise ApplicationError(f"cannot send the file {path!r}: {exc}") from exc
    if not stat.S_ISREG(status.st_mode):
        raise ApplicationError(f"cannot send {path!r}: not a regular file")
    if not os.access(path, os.R_OK):
        raise ApplicationError(f"cannot send {path!r}: no permission to read it")
    return status.st_size


async def send_file(target: FileTarget, sock: socket.socket | None, path: str, count: int) -> None:
    """Send the first `count` bytes of a file behind everything that `target` was given.

    With `sock`, the transport's socket, the kernel copies (sendfile). Raises ApplicationError
    where the file has become shorter, ClientDisconnected where nobody takes it.
    """
    with open(path, "rb", buffering=0) as file:  # noqa: ASYNC230 - opening does not wait on disks
        if sock is None:
            await _send_by_reading(target, file.fileno(), count)
        else:
            await target.flushed()
            await _send_by_kernel(target, sock, file.fileno(), count)


async def _send_by_reading(target: FileTarget, file: int, count: int) -> None:
    loop = asyncio.get_running_loop()
    offset = 0
    while offset < count:
        size = min(READ_PART, count - offset)
        part = await loop.run_in_executor(None, os.pread, file, size, offset)
        if not part:
            raise _too_short(offset, count)
        await target.drained()
        target.transport.write(part)
        offset += len(part)
    await target.drained()


async def _send_by_kernel(target: FileTarget, sock: socket.socket, file: int, count: int) -> None:
    loop = asyncio.get_running_loop()
    # The loop does not let others watch a transport's descriptor: watch a duplicate.
    out = os.dup(sock.fileno())
    os.set_blocking(out, False)  # which the loop may be about to do
    offset = 0
    try:
        while offset < count:
            try:
                sent = os.sendfile(out, file, offset, min(SENDFILE_PART, count - offset))
            except BlockingIOError:
                target.pause_writing()
                loop.add_writer(out, target.resume_writing)
                try:
                    await target.drained()  # raises when the client has left meanwhile
                finally:
                    loop.remove_writer(out)
                continue
            except OSError as exc:
                target.abort()
                raise ClientDisconnected("the client has left") from exc
            if not sent:
                raise _too_short(offset, count)
            offset += sent
            await asyncio.sleep(0)  # others' turn
    finally:
        os.close(out)


def _too_short(offset: int, count: int) -> ApplicationError:
    return ApplicationError(f"the file ended after {offset} of {count} bytes")
