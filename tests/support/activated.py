"""A process started as systemd starts one, with sockets; it says what it made of them.

Arguments, as JSON: the descriptors to pass on from 3 up, variables of the environment (`{pid}` in
them becomes the process's own), options of `Config`, keywords of `bind_all`. Behind the word `exec`
a command stands in place of the last two, which takes the place of the process.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

SERVE = "serve"
EXEC = "exec"


def start(descriptors: list[int], variables: dict[str, str], command: list[str]) -> None:
    """Do what systemd does between fork and exec, and do that."""
    for index, fd in enumerate(descriptors):
        os.dup2(fd, 3 + index)
    ours = {name: value.format(pid=os.getpid()) for name, value in variables.items()}
    os.execve(command[0], command, {**os.environ, **ours})


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
    words = sys.argv[1:]
    if words[0] == SERVE:
        serve(*(json.loads(word) for word in words[1:]))
    elif words[0] == EXEC:
        start(json.loads(words[1]), json.loads(words[2]), words[3:])
    else:
        again = [sys.executable, "-m", "tests.support.activated", SERVE, *words[2:]]
        start(json.loads(words[0]), json.loads(words[1]), again)
