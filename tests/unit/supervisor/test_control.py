"""The routes of the control socket, with a real pool and imagined processes."""

from __future__ import annotations

import json
import logging
from signal import SIGURG, SIGUSR2
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.supervisor.driver import Drive
from uvicorn_supervisor.control.commands import TO_REPORT, Control
from uvicorn_supervisor.control.desk import Deferred
from uvicorn_supervisor.control.deskhttp import Answer, Request
from uvicorn_supervisor.control.scene import Scene
from uvicorn_supervisor.control.status import Sources
from uvicorn_supervisor.decisions.limits import MOST_WORKERS, NEVER
from uvicorn_supervisor.decisions.messages import Stop, Tell
from uvicorn_supervisor.workers.bulletin import Bulletin
from uvicorn_supervisor.workers.line import REPORT, Line, Word
from uvicorn_worker.logs.levels import Levels
from uvicorn_worker.logs.setup import LOGGERS
from uvicorn_worker.scoreboard.board import Scoreboard

if TYPE_CHECKING:
    from collections.abc import Iterator

    from uvicorn_supervisor.decisions.messages import Event


class World:
    """A control socket's routes, and what they are about."""

    def __init__(self, count: int = 2) -> None:
        self.board = Scoreboard(8)
        self.slots = [self.board.reserve(number, 1.0) for number in range(1, count + 1)]
        self.drive = Drive(count=count).start()
        self.bulletin = Bulletin(8)
        self.control = Control(
            Scene(
                pool=self.drive.pool,
                board=self.board,
                now=lambda: self.drive.now,
                take=self._take,
                sources=Sources(memory=lambda worker: 2**20, lag=lambda view: 0.5),
                bulletin=self.bulletin,
                levels=Levels(),
                app="shop:app",
                place="http://127.0.0.1:8000",
                started=self.drive.now,
            )
        )
        self._routes = self.control.routes()

    def _take(self, event: Event) -> None:
        self.drive.send(event)

    def ask(self, method: str, path: str, **query: str) -> Answer | Deferred:
        return self._routes[method, path](Request(method, path, query, {}))

    def told(self, method: str, path: str, **query: str) -> tuple[int, str]:
        """Return status and text of an order that is answered at once."""
        answer = self.ask(method, path, **query)
        assert isinstance(answer, Answer)
        return answer.status, json.loads(answer.content)["text"]

    def wait(self, method: str, path: str, **query: str) -> list[Any]:
        """Give an order that is answered later; return the list that the answer comes to."""
        answers: list[Any] = []
        answer = self.ask(method, path, **query)
        assert isinstance(answer, Deferred)
        answer.then(lambda said: answers.append((said.status, json.loads(said.content)["text"])))
        return answers


@pytest.fixture
def world() -> Iterator[World]:
    before = {name: logging.getLogger(name).level for name in LOGGERS}
    yield World()
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)


def test_status_shows_supervisor_and_workers(world: World) -> None:
    answer = world.ask("GET", "/status")
    assert isinstance(answer, Answer)
    status = json.loads(answer.content)

    about = status["supervisor"]
    assert (about["app"], about["state"], about["release"]) == ("shop:app", "serving", 1)
    assert (about["workers_wanted"], about["workers_ready"]) == (2, 2)
    assert [one["worker"] for one in status["workers"]] == [1, 2]
    assert [one["pid"] for one in status["workers"]] == list(world.drive.processes.values())
    assert {one["memory"] for one in status["workers"]} == {2**20}
    assert {one["restarts"] for one in status["workers"]} == {0}


@pytest.mark.parametrize("count", ["1", "7"])
def test_scale_changes_the_number(count: str, world: World) -> None:
    assert world.told("POST", "/scale", count=count) == (200, f"workers to keep ready: {count}")
    assert world.drive.pool.count == int(count)


@pytest.mark.parametrize(
    "count", ["", "0", "-1", "1.5", "x", str(MOST_WORKERS + 1), "9" * 5000, "²"]
)
def test_scale_refuses_other_numbers(count: str, world: World) -> None:
    status, text = world.told("POST", "/scale", count=count)

    assert (status, "expected a number from 1 to 256" in text) == (400, True)
    assert world.drive.pool.count == 2


@pytest.mark.parametrize("path", ["/recycle", "/stacks"])
def test_a_worker_is_named_by_its_seat_or_process(path: str, world: World) -> None:
    method = "POST" if path == "/recycle" else "GET"
    pid = world.drive.processes[2]

    status, text = world.told(method, path, worker="7")

    assert (status, text) == (
        404,
        f"there is no worker '7'; there are 1 (pid {pid - 1}), 2 (pid {pid})",
    )
    world.wait(method, path, worker="1")
    world.wait(method, path, worker=str(pid))


def test_of_two_in_a_seat_the_one_that_serves_is_meant(world: World) -> None:
    answers = world.wait("POST", "/recycle", worker="1")
    again = world.wait("POST", "/recycle", worker="1")

    world.drive.ready(3)
    world.control.settle()

    assert answers == again == [(200, "it has been replaced")]


def test_who_does_not_serve_cannot_be_recycled(world: World) -> None:
    world.wait("POST", "/recycle", worker="1")
    pid = world.drive.processes[3]

    assert world.told("POST", "/recycle", worker=str(pid)) == (
        409,
        "worker 1 is starting, not ready",
    )


def test_verdicts_are_told_when_they_are_known(world: World) -> None:
    answers = world.wait("POST", "/reload")
    world.control.settle()
    assert answers == []

    world.drive.ready(3)
    world.drive.ready(4)
    world.control.settle()

    assert answers == [(200, "release 2 serves with 2 workers")]


def test_nothing_is_ordered_at_the_end(world: World) -> None:
    world.drive.send(Stop())

    assert world.told("POST", "/scale", count="3") == (409, "the supervisor stops")
    assert world.told("POST", "/recycle", worker="1") == (409, "the supervisor stops")
    answers = world.wait("POST", "/upgrade")
    world.control.settle()
    assert answers == [(409, "the supervisor stops")]


def test_a_level_is_for_all_and_can_be_taken_back(world: World) -> None:
    before = logging.getLogger("uvicorn.error").level

    assert world.told("POST", "/log-level", level="TRACE") == (200, "log level: trace")
    assert world.bulletin.level == logging.getLogger("uvicorn.error").level == 5
    assert set(world.drive.told().values()) == {"SIGURG"}
    assert world.told("POST", "/log-level", level="default") == (200, "log level: as configured")
    assert world.bulletin.level == 0
    assert logging.getLogger("uvicorn.error").level == before
    assert world.told("POST", "/log-level", level="loud")[0] == 400


def test_a_report_goes_to_whoever_has_asked(world: World) -> None:
    answers = world.wait("GET", "/stacks", worker="2")
    slot = world.slots[1]
    assert slot is not None
    assert world.bulletin.asked(slot.index) == 1
    assert Tell(2, world.drive.processes[2], SIGURG) in world.drive.acted

    world.control.heard(Word(REPORT, 1, "somebody else's"))
    world.control.heard(Word(REPORT, 2, "here"))

    assert answers == [(200, "here")]
    assert world.control.deadline == NEVER


def test_who_does_not_report_writes_its_stacks_to_the_log(world: World) -> None:
    answers = world.wait("GET", "/stacks", worker="2")
    assert world.control.deadline == world.drive.now + TO_REPORT

    world.drive.now += TO_REPORT
    world.control.settle()

    assert Tell(2, world.drive.processes[2], SIGUSR2) in world.drive.acted
    assert answers == [(409, "worker 2 does not answer: where its threads are is in its error log")]


def test_who_has_ended_does_not_report(world: World) -> None:
    answers = world.wait("GET", "/stacks", worker="2")
    world.drive.exit(2, -9)

    world.drive.now += TO_REPORT
    world.control.settle()

    assert answers == [(409, "worker 2 has ended")]


# -- what workers say


def test_words_arrive_whole_and_in_order() -> None:
    line = Line()
    try:
        line.say(REPORT, 3, "ä\n" * 10)
        line.say(REPORT, 4, "x" * 1_000_000)
        line.theirs.setblocking(False)
        line.theirs.send(b"no JSON")
        line.theirs.send(b"[1]")

        first, second = line.read()
    finally:
        line.close()

    assert first == Word(REPORT, 3, "ä\n" * 10)
    assert second.text.endswith("x\n... and more\n")


def test_a_line_that_is_full_or_closed_keeps_nobody() -> None:
    line = Line()
    for _ in range(1000):
        line.theirs.setblocking(False)
        try:
            line.theirs.send(b"x" * 1000)
        except BlockingIOError:
            break
    line.say(REPORT, 1, "lost")
    line.close()
    line.say(REPORT, 1, "lost")
