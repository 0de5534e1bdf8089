"""The routes of the control socket: what people order, and what becomes of it.

    GET /status, /workers                  what there is
    POST /reload, /restart, /upgrade       the answer is the verdict
    POST /stop                             answered when no worker is left
    POST /scale?count=N, /recycle?worker=W, /log-level?level=L
    GET /stacks?worker=W

Answers are objects of JSON; those to orders have `ok` and `text`. A worker is named by the number
of its seat, as in the log, or by its process id.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from uvicorn_supervisor.control.desk import Deferred
from uvicorn_supervisor.control.deskhttp import Answer
from uvicorn_supervisor.decisions.lifecycle import READY
from uvicorn_supervisor.decisions.limits import MOST_WORKERS, NEVER
from uvicorn_supervisor.decisions.messages import Notify, Recycle, Reload, Resize, Stop, Upgrade
from uvicorn_supervisor.decisions.verdicts import Ended, Replaced, Serves, Upgraded
from uvicorn_supervisor.workers.bulletin import ERRAND
from uvicorn_supervisor.workers.child import INQUIRY
from uvicorn_worker.logs.levels import NUMBERS

if TYPE_CHECKING:
    from uvicorn_supervisor.control.desk import Routes
    from uvicorn_supervisor.control.deskhttp import Request
    from uvicorn_supervisor.control.scene import Scene
    from uvicorn_supervisor.decisions.lifecycle import Worker
    from uvicorn_supervisor.decisions.messages import Event
    from uvicorn_supervisor.decisions.verdicts import Goal
    from uvicorn_supervisor.workers.line import Word

JSON: Final = "application/json"

# A loop that turns reports within milliseconds; Python code that computes, when it is interrupted.
TO_REPORT: Final = 3.0  # seconds

# Why a worker is recycled; metrics count by the first word.
TOLD: Final = "told by control"

AS_CONFIGURED: Final = "default"

log: Final = logging.getLogger("uvicorn.supervisor")


class Impossible(Exception):
    """An order that cannot be carried out; the text says why."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


@dataclass(frozen=True, slots=True)
class Awaited:
    """Somebody waits for a verdict."""

    goal: Goal
    answer: Deferred


@dataclass(frozen=True, slots=True)
class Report:
    """Somebody waits for a worker's report."""

    number: int
    seat: int
    deadline: float
    answer: Deferred


class Control:
    """What is under way for those who have asked."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._awaited: list[Awaited] = []
        self._reports: list[Report] = []

    def routes(self) -> Routes:
        scene = self._scene
        return {
            ("GET", "/status"): lambda request: to_json(200, scene.status()),
            ("GET", "/workers"): lambda request: to_json(200, scene.status()["workers"]),
            ("POST", "/reload"): lambda request: self._reload(alone=False),
            ("POST", "/restart"): lambda request: self._reload(alone=True),
            ("POST", "/upgrade"): self._upgrade,
            ("POST", "/stop"): lambda request: self._order(Stop(), Ended()),
            ("POST", "/scale"): self._checked(self._scale),
            ("POST", "/recycle"): self._checked(self._recycle),
            ("POST", "/log-level"): self._checked(self._log_level),
            ("GET", "/stacks"): self._checked(self._stacks),
        }

    # -- what the loop tells

    @property
    def deadline(self) -> float:
        """When somebody has waited long enough for a report."""
        return min((one.deadline for one in self._reports), default=NEVER)

    def settle(self) -> None:
        """Answer those whose verdict is known by now."""
        for one in tuple(self._awaited):
            verdict = one.goal.verdict(self._scene.pool)
            if verdict is not None:
                one.answer.settle(_said(200 if verdict.good else 409, verdict.text))
        self._awaited = [one for one in self._awaited if one.answer.open]
        for report in tuple(self._reports):
            if self._scene.now() >= report.deadline:
                self._give_up(report)

    def heard(self, word: Word) -> None:
        """Pass a worker's report on to whoever has asked for it."""
        for one in self._reports:
            if one.number == word.number:
                one.answer.settle(_said(200, word.text))
        self._reports = [one for one in self._reports if one.answer.open]

    def _give_up(self, report: Report) -> None:
        self._reports.remove(report)
        if report.number not in self._scene.pool.workers:
            report.answer.settle(_said(409, f"worker {report.seat} has ended"))
            return
        self._scene.take(Notify(INQUIRY, report.number))
        why = f"worker {report.seat} does not answer: where its threads are is in its error log"
        report.answer.settle(_said(409, why))

    # -- orders

    def _order(self, event: Event, goal: Goal) -> Deferred:
        """Give an order; the answer is its verdict."""
        log.info("Control: %s", type(event).__name__.lower())
        answer = Deferred()
        self._awaited.append(Awaited(goal, answer))
        self._scene.take(event)
        return answer

    def _reload(self, *, alone: bool) -> Deferred:
        return self._order(Reload(), Serves.after_reload(self._scene.pool, alone=alone))

    def _upgrade(self, request: Request) -> Deferred:
        return self._order(Upgrade(), Upgraded.after_upgrade(self._scene.pool))

    def _scale(self, request: Request) -> Answer:
        text = request.query.get("count", "")
        if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= MOST_WORKERS):
            raise Impossible(400, f"count={text!r}: expected a number from 1 to {MOST_WORKERS}")
        self._refuse_at_end()
        self._scene.take(Resize(int(text), "control"))
        return _said(200, f"workers to keep ready: {int(text)}")

    def _recycle(self, request: Request) -> Deferred:
        self._refuse_at_end()
        worker = self._worker(request)
        if worker.state is not READY:
            raise Impossible(409, f"worker {worker.slot} is {worker.state.value}, not ready")
        return self._order(Recycle(worker.number, TOLD), Replaced(worker.number))

    def _log_level(self, request: Request) -> Answer:
        word = request.query.get("level", "").lower()
        if word not in NUMBERS and word != AS_CONFIGURED:
            expected = ", ".join((*NUMBERS, AS_CONFIGURED))
            raise Impossible(400, f"level={word!r}: expected one of {expected}")
        level = NUMBERS.get(word, 0)
        self._scene.bulletin.level = level
        self._scene.levels.apply(level)
        self._scene.take(Notify(ERRAND))
        log.warning("Control: log level %s", word if level else "as configured")
        return _said(200, f"log level: {word if level else 'as configured'}")

    def _stacks(self, request: Request) -> Deferred:
        worker = self._worker(request)
        view = self._scene.board.find(worker.number)
        if view is None or not worker.pid:
            raise Impossible(409, f"worker {worker.slot} has no process yet")
        answer = Deferred()
        self._reports.append(
            Report(worker.number, worker.slot, self._scene.now() + TO_REPORT, answer)
        )
        self._scene.bulletin.ask(view.index)
        self._scene.take(Notify(ERRAND, worker.number))
        return answer

    # -- what orders have in common

    def _checked(self, route: Any) -> Any:
        """Return a route that answers with what makes an order impossible."""

        def checked(request: Request) -> Answer | Deferred:
            try:
                found: Answer | Deferred = route(request)
            except Impossible as exc:
                return _said(exc.status, str(exc))
            return found

        return checked

    def _refuse_at_end(self) -> None:
        if self._scene.pool.ending:
            raise Impossible(409, "the supervisor stops")

    def _worker(self, request: Request) -> Worker:
        """Return the worker that is meant: of two in a seat, the one that serves."""
        text = request.query.get("worker", "")
        workers = list(self._scene.pool.workers.values())
        named = [one for one in workers if text == str(one.slot)]
        named = named or [one for one in workers if text == str(one.pid)]
        if not named:
            there = ", ".join(f"{one.slot} (pid {one.pid})" for one in _by_seat(workers))
            raise Impossible(404, f"there is no worker {text!r}; there are {there or 'none'}")
        return min(named, key=lambda one: (one.state is not READY, not one.live, -one.number))


def to_json(status: int, content: object) -> Answer:
    return Answer(status, json.dumps(content).encode(), JSON)


def _by_seat(workers: list[Worker]) -> list[Worker]:
    return sorted(workers, key=lambda one: (one.slot, one.number))


def _said(status: int, text: str) -> Answer:
    return to_json(status, {"ok": status < 400, "text": text})
