"""Who is to come and who is to go, seen from the workers that there are. Pure.

Asked after every event. Nothing is planned ahead, so nothing has to be called off when a worker
dies in the middle of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from uvicorn_supervisor.decisions.lifecycle import READY
from uvicorn_supervisor.decisions.limits import Backoff

if TYPE_CHECKING:
    from uvicorn_supervisor.decisions.lifecycle import Worker
    from uvicorn_supervisor.decisions.staff import Staff


def relieve(staff: Staff, now: float) -> None:
    """Let workers go in whose seat a younger one serves."""
    for seat in staff.seats().values():
        serving = [worker for worker in seat if worker.state is READY]
        for worker in seat:
            if serving and worker.number < serving[-1].number:
                staff.retire(worker, worker.due or "its successor has taken over", now)


def shrink(staff: Staff, count: int, canary: int, now: float) -> None:
    """Empty seats beyond `count`: those in which nobody serves yet, then the oldest.

    `canary` is the number of the worker that decides on a release: it stays.
    """
    seats = staff.seats()
    while len(seats) > max(count, bool(canary)):
        slot = min(seats, key=lambda slot: _shrinks_first(seats[slot], canary))
        for worker in seats.pop(slot):
            if worker.number == canary and seats:
                staff.move(worker, min(seats))  # it may sit beside somebody
            else:
                staff.retire(worker, "one worker fewer", now)


def _shrinks_first(seat: list[Worker], canary: int) -> tuple[bool, bool, int]:
    serves = any(worker.state is READY for worker in seat)
    tries = any(worker.number == canary for worker in seat)
    return serves, tries, seat[0].number if serves else -seat[0].number


def replace_unfit(staff: Staff, count: int, release: int, now: float) -> None:
    """Start successors of workers that are due, or of another release, the oldest first."""
    seats = staff.seats()
    if len(seats) < count:
        return
    room = staff.limits.max_replacing - sum(len(seat) > 1 for seat in seats.values())
    for seat in sorted(seats.values(), key=lambda seat: seat[0].number):
        worker = seat[-1]
        unfit = bool(worker.due) or worker.release != release
        if room <= 0 or not (staff.room_to_leave(count) and staff.may_try(now)):
            return
        if len(seat) > 1 or worker.state is not READY or not unfit:
            continue
        room -= 1
        if worker.crowded and worker.due.startswith("memory"):
            if all(one[-1].state is READY for one in seats.values()):
                staff.retire(worker, f"{worker.due}, and no room for two", now)
            return
        staff.spawn(worker.slot, release, now)


def fill(staff: Staff, count: int, release: int, now: float) -> None:
    """Start workers for empty seats, as far as failures allow."""
    seats = staff.seats()
    free = [slot for slot in range(1, 2 * count + 1) if slot not in seats]
    for slot in free[: max(0, count - len(seats))]:
        if now >= staff.deaths.get(slot, Backoff()).until and staff.may_try(now):
            staff.spawn(slot, release, now)


def canary_seat(staff: Staff) -> int | None:
    """Return the seat in which a release is to be tried; None: one of its own.

    Beside the worker that has served longest; where nobody serves yet, beside one that may.
    """
    live = [worker for worker in staff.workers.values() if worker.live]
    ready = [worker for worker in live if worker.state is READY]
    return min(ready or live, key=lambda worker: worker.number).slot if live else None
