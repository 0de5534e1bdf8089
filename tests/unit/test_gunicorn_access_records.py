"""Access records are for formatters, filters and handlers what Gunicorn's are."""

from __future__ import annotations

import copy
import functools
import json
import logging
import logging.handlers
import pickle
import queue
from typing import TYPE_CHECKING, Any

import pytest
from gunicorn.glogging import SafeAtoms

from tests.support.exchange import FakeExchange
from tests.support.gunicorn_access import COMBINED, MUCH, make_access_log, make_logger
from tests.support.logstate import Records
from uvicorn_worker.gunicorn.atoms import make_atoms
from uvicorn_worker.gunicorn.views import Objects
from uvicorn_worker.logging import JsonFormatter
from uvicorn_worker.logs.exchanges import Site, duration

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.usefixtures("own_loggers")


def record_of(
    exchange: FakeExchange, line_format: str = COMBINED, now: float = 1000.25
) -> logging.LogRecord:
    kept = Records()
    log, _ = make_logger(access_log_format=line_format)
    log.access_log.addHandler(kept)
    make_access_log(log).log(exchange, now)
    return kept.records[0]


def safe_atoms(exchange: FakeExchange, now: float = 1000.25) -> dict[str, object]:
    objects = Objects(exchange, Site())
    log, _ = make_logger()
    made: dict[str, object] = SafeAtoms(
        log.atoms(objects.resp, objects.req, objects.environ, duration(exchange, now))
    )
    return made


@pytest.mark.parametrize(
    "look",
    [
        dict,
        list,
        len,
        sorted,
        repr,
        json.dumps,
        copy.copy,
        copy.deepcopy,
        lambda atoms: pickle.loads(pickle.dumps(atoms)),
        lambda atoms: atoms.copy(),
        lambda atoms: {**atoms},
        lambda atoms: dict(**atoms),
        lambda atoms: list(atoms.keys()),
        lambda atoms: list(atoms.values()),
        lambda atoms: list(atoms.items()),
        lambda atoms: [atoms.get(key) for key in ("h", "U", "{x-a}i", "{X-A}i", "x")],
        lambda atoms: [atoms.get(key, "?") for key in ("h", "{X-A}i", "x")],
        lambda atoms: [key in atoms for key in ("h", "U", "{x-a}i", "{X-A}i", "x")],
        lambda atoms: [len(atoms), atoms["U"], atoms["{X-A}i"], atoms["{x}i"], atoms["x"]],
        lambda atoms: [isinstance(atoms, dict), bool(atoms)],
    ],
)
def test_a_record_carries_what_looks_like_gunicorns_atoms(
    look: Callable[[dict[str, object]], object],
) -> None:
    exchange = MUCH
    args: Any = record_of(exchange).args
    expected = safe_atoms(exchange)
    expected["t"] = args["t"]

    assert look(args) == look(expected)
    assert args == expected
    assert args != {}


def test_json_lines_have_the_members_that_they_have_without_gunicorn() -> None:
    record = record_of(FakeExchange(target=b"/a?b", started=1000.0), "%(m)s %(U)s", now=1000.25)

    said = json.loads(JsonFormatter().format(record))

    assert (said["message"], said["logger"]) == ("GET /a", "gunicorn.access")
    assert said["client"] == "127.0.0.1:50000"
    assert (said["method"], said["path"], said["query"]) == ("GET", "/a", "b")
    assert (said["http_version"], said["status"], said["duration"]) == ("1.1", 200, 0.25)


def test_the_atoms_stay_those_of_then_when_the_line_is_formatted_later() -> None:
    exchange = FakeExchange()
    log, _ = make_logger()
    atoms = make_atoms(exchange, 1000.25, "[then]", log, Site())

    assert (atoms["t"], dict(atoms)["t"], atoms["t"]) == ("[then]", "[then]", "[then]")
    assert atoms["D"] == dict(atoms)["D"] == 250_000


def test_a_record_has_the_attributes_that_logging_gives_it() -> None:
    reference = logging.LogRecord("gunicorn.access", logging.INFO, "x", 1, COMBINED, (), None)

    record = record_of(FakeExchange())

    assert vars(record).keys() >= vars(reference).keys()
    for name in ("name", "levelno", "levelname", "msg", "process", "processName", "thread"):
        assert getattr(record, name) == getattr(reference, name)
    assert abs(record.created - reference.created) < 60
    assert record.msecs == int(record.created % 1 * 1000)
    # `relativeCreated` counts milliseconds since logging was loaded.
    loaded = reference.created * 1000 - reference.relativeCreated
    assert abs(record.created * 1000 - record.relativeCreated - loaded) < 1
    assert record.exc_info is None
    assert record.filename == "access.py"


def test_a_queue_handler_can_take_the_record() -> None:
    records: queue.Queue[logging.LogRecord] = queue.Queue()
    log, lines = make_logger()
    log.access_log.addHandler(logging.handlers.QueueHandler(records))

    make_access_log(log).log(MUCH, 1000.25)

    assert records.get_nowait().getMessage() == lines.lines[0]


def test_filters_and_levels_of_the_logger_count() -> None:
    log, lines = make_logger()
    access = make_access_log(log)

    log.access_log.setLevel(logging.WARNING)
    access.log(FakeExchange(), 1000.25)
    log.access_log.setLevel(logging.INFO)
    log.access_log.addFilter(lambda record: "/health" not in record.getMessage())
    access.log(FakeExchange(target=b"/health"), 1000.25)
    assert lines.lines == []

    access.log(FakeExchange(target=b"/x"), 1000.25)
    assert len(lines.lines) == 1


class MarkedRecord(logging.LogRecord):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.mark = "marked"


def test_a_record_factory_is_used_where_there_is_one() -> None:
    usual = logging.getLogRecordFactory()
    logging.setLogRecordFactory(MarkedRecord)
    try:
        record = record_of(FakeExchange())
    finally:
        logging.setLogRecordFactory(usual)

    assert isinstance(record, MarkedRecord)
    assert record.mark == "marked"
    assert '"GET / HTTP/1.1" 200 13' in record.getMessage()


@pytest.mark.parametrize("name", ["makeRecord", "_log", "info"])
def test_the_machinery_of_logging_is_used_where_somebody_wrapped_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    usual = getattr(logging.Logger, name)

    @functools.wraps(usual)
    def traced(*args: Any, **kwargs: Any) -> object:
        calls.append(name)
        return usual(*args, **kwargs)

    monkeypatch.setattr(logging.Logger, name, traced)
    record_of(FakeExchange())

    assert calls == [name]
