"""The command `uvicorn-supervisorctl`: asks a running supervisor, and gives it orders.

It exits with 0 when what was asked for has come about, with 1 when not or when there is nobody to
ask, with 2 when it was used wrongly.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import sys
from typing import TYPE_CHECKING, Any, Final, NoReturn

from uvicorn_supervisor.control.client import Client, NoAnswer
from uvicorn_supervisor.control.figures import ABSENT, age, size
from uvicorn_supervisor.decisions.limits import MOST_WORKERS
from uvicorn_worker import __version__
from uvicorn_worker.config import LEVELS

if TYPE_CHECKING:
    from collections.abc import Sequence

NAME: Final = "uvicorn-supervisorctl"
VARIABLE: Final = "UVICORN_CONTROL"

EXIT_DONE: Final = 0
EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_INTERRUPTED: Final = 130

# Command -> what it does. All but the last two groups wait for the verdict.
WAITING: Final = {
    "reload": "read configuration and code again, replace all workers; wait until they serve",
    "restart": "as reload, and wait until the last worker of before has ended",
    "upgrade": "start the program as it is installed now, and let it take over",
    "stop": "end the server: let requests end, and wait for that",
}
TO_EXIT: Final = 5  # seconds from the end of the last worker to that of the supervisor
COLUMNS: Final = (
    "WORKER", "PID", "STATE", "RELEASE", "AGE", "REQUESTS", "IN FLIGHT", "CONNS", "MEMORY",
    "RESTARTS",
)  # fmt: skip


def main(words: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code; `words` are those behind its name."""
    asked = _parser().parse_args(words)
    path = getattr(asked, "control", "") or os.environ.get(VARIABLE, "")
    if not path:
        return _fail(
            f"where is the supervisor? Give its --control PATH, or set {VARIABLE}",
            EXIT_USAGE,
        )
    client = Client(path.removeprefix("unix:"))
    try:
        code: int = asked.run(client, asked)
    except NoAnswer as exc:
        return _fail(str(exc), EXIT_FAILED)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return code


class _Parser(argparse.ArgumentParser):
    """Tells wrong usage in one line, as the other commands do; its commands' parsers, too."""

    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_USAGE, f"{NAME}: {message}; see {self.prog} --help\n")


def _parser() -> argparse.ArgumentParser:
    where = _Parser(add_help=False)
    where.add_argument(
        "--control",
        metavar="PATH",
        default=argparse.SUPPRESS,
        help=f"the supervisor's control socket [env: {VARIABLE}]",
    )
    parser = _Parser(
        NAME, description="Ask a running uvicorn-supervisor, and give it orders.", parents=[where]
    )
    parser.add_argument("--version", action="version", version=f"{NAME} {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, help: str, run: Any) -> argparse.ArgumentParser:
        added: argparse.ArgumentParser = commands.add_parser(
            name, help=help, description=help, parents=[where]
        )
        added.set_defaults(run=run, command=name)
        return added

    for name, help, run in (
        ("status", "show what the server does", _status),
        ("workers", "show the workers only", _workers),
    ):
        command(name, help, run).add_argument(
            "--json", action="store_true", help="for programs: seconds and bytes"
        )
    for name, help in WAITING.items():
        command(name, help, _stop if name == "stop" else _wait_for_verdict)
    scale = command("scale", "keep so many workers, until a reload", _order)
    scale.add_argument("count", metavar="N", type=_count)
    recycle = command("recycle", "replace one worker, its successor first", _order_and_wait)
    recycle.add_argument("worker", metavar="WORKER", help="its number, or its process id")
    stacks = command("stacks", "show threads, tasks and requests of a worker", _stacks)
    stacks.add_argument("worker", metavar="WORKER", help="its number, or its process id")
    level = command("log-level", "log from this level on, in all processes", _order)
    level.add_argument("level", metavar=f"[{'|'.join((*LEVELS.choices, 'default'))}]")
    command("top", "show what the workers do, and go on; q ends it", _top)
    return parser


def _count(text: str) -> str:
    """Return the number of workers, as it is sent."""
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= MOST_WORKERS):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number from 1 to {MOST_WORKERS}")
    return text


# -- commands


def _status(client: Client, asked: argparse.Namespace) -> int:
    found = _data(client)
    if asked.json:
        _show(json.dumps(found, indent=2))
        return EXIT_DONE
    about = found["supervisor"]
    _show(
        f"{about['app']} on {about['listens']}: {about['state']}, "
        f"{about['workers_ready']} of {about['workers_wanted']} workers ready\n"
        f"supervisor {about['pid']}, up {age(about['uptime'])}, release {about['release']}, "
        f"uvicorn-worker {about['version']}\n"
    )
    _show(_table(found["workers"]))
    return EXIT_DONE


def _workers(client: Client, asked: argparse.Namespace) -> int:
    workers = _data(client)["workers"]
    _show(json.dumps(workers, indent=2) if asked.json else _table(workers))
    return EXIT_DONE


def _wait_for_verdict(client: Client, asked: argparse.Namespace) -> int:
    return _say(client.ask("POST", f"/{asked.command}", timeout=None).content)


def _stop(client: Client, asked: argparse.Namespace) -> int:
    """Wait for the process as well: whoever starts another one wants the pid file to be gone."""
    pid = _data(client)["supervisor"]["pid"]
    try:
        process = os.pidfd_open(pid)
    except (AttributeError, OSError):  # no Linux, or not a process that can be seen from here
        return _wait_for_verdict(client, asked)
    try:
        code = _wait_for_verdict(client, asked)
        if code == EXIT_DONE:
            ended = select.poll()
            ended.register(process, select.POLLIN)
            ended.poll(TO_EXIT * 1000)
        return code
    finally:
        os.close(process)


def _order(client: Client, asked: argparse.Namespace) -> int:
    return _say(client.ask("POST", f"/{asked.command}", _parameters(asked)).content)


def _order_and_wait(client: Client, asked: argparse.Namespace) -> int:
    parameters = _parameters(asked)
    return _say(client.ask("POST", f"/{asked.command}", parameters, timeout=None).content)


def _stacks(client: Client, asked: argparse.Namespace) -> int:
    return _say(client.ask("GET", "/stacks", _parameters(asked)).content)


def _top(client: Client, asked: argparse.Namespace) -> int:
    try:
        from uvicorn_supervisor.control.top import run
    except ImportError:
        return _fail("top needs the package rich: pip install 'uvicorn-worker[top]'", EXIT_FAILED)
    return run(lambda: _data(client))


# -- what they have in common


def _parameters(asked: argparse.Namespace) -> dict[str, str]:
    given = vars(asked)
    return {name: given[name] for name in ("count", "worker", "level") if name in given}


def _data(client: Client) -> Any:
    reply = client.ask("GET", "/status")
    if not reply.good:
        raise NoAnswer(reply.content["text"])
    return reply.content


def _say(content: dict[str, Any]) -> int:
    """Show how an order has ended."""
    if not content["ok"]:
        return _fail(content["text"], EXIT_FAILED)
    _show(content["text"])
    return EXIT_DONE


def _table(workers: list[dict[str, Any]]) -> str:
    rows = [COLUMNS, *map(_row, workers)]
    widths = [max(len(row[number]) for row in rows) for number in range(len(COLUMNS))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column == "STATE" else cell.rjust(width)
            for cell, width, column in zip(row, widths, COLUMNS, strict=True)
        ).rstrip()
        for row in rows
    )


def _row(worker: dict[str, Any]) -> tuple[str, ...]:
    memory = worker["memory"]
    return (
        str(worker["worker"]),
        str(worker["pid"]),
        worker["state"],
        str(worker["release"]),
        age(worker["age"]),
        str(worker["requests"]),
        str(worker["in_flight"]),
        str(worker["connections"]),
        ABSENT if memory is None else size(memory),
        str(worker["restarts"]),
    )


def _show(text: str) -> None:
    sys.stdout.write(text.rstrip("\n") + "\n")


def _fail(text: str, code: int) -> int:
    sys.stderr.write(f"{NAME}: {text}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
