"""A process started as systemd starts one, with sockets; it says what it made of them.

Arguments, as JSON: the descriptors to pass on from 3 up, variables of the environment (`{pid}` in
them becomes the process's own), options of `Config`, keywords of `bind_all`.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

SERVE = "serve"


def start(descriptors: list[int], variables: dict[str, str]) -> None:
    """Do what systemd does between fork and exec."""
    for index, fd in enumerate(descriptors):
        os.dup2(fd, 3 + index)
    ours = {name: value.format(pid=os.getpid()) for name, value in variables.items()}
    command = [sys.executable, "-m", "tests.support.activated", SERVE, *sys.argv[3:]]
    os.execve(sys.executable, command, {**os.environ, **ours})


def serve(options: dict[str, Any], keywords: dict[str, Any]) -> None:
    """Bind, say so in one line, and answer one connection on each socket that was passed on."""
    import logging

    from uvicorn_worker.config import Config
    from uvicorn_worker.errors import ConfigError
    from uvicorn_worker.sockets.opening import bind_all, describe

    logging.basicConfig(stream=sys.stderr)
    try:
        sockets = bind_all(
            Config("app:app", **options), os.environ, log=logging.getLogger(), **keywords
        )
    except ConfigError as exc:
        say(error=str(exc))
        return
    say(
        names=[describe(sock, tls=False) for sock in sockets],
        numbers=[sock.fileno() for sock in sockets],
        inheritable=[sock.get_inheritable() for sock in sockets],
        left=sorted(name for name in os.environ if name.startswith("LISTEN_")),
    )
    for sock in sockets:
        if "LISTEN_FDS" not in os.environ:
            sock.accept()[0].sendall(b"from the child")


def say(**values: object) -> None:
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    if sys.argv[1] == SERVE:
        serve(*(json.loads(argument) for argument in sys.argv[2:]))
    else:
        start(*(json.loads(argument) for argument in sys.argv[1:3]))
