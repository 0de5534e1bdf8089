"""The small parts of the worker's side: orders, the fork, the error page, the TLS context."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import ssl
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.certificates import Authority, encrypt_key
from tests.support.gunicorn_config import gunicorn_config
from tests.support.processes import NOBODY
from tests.support.waiting import eventually
from uvicorn_worker.application.errorpage import error_page
from uvicorn_worker.errors import ConfigError
from uvicorn_worker.gunicorn import masters
from uvicorn_worker.gunicorn.tls import make_tls
from uvicorn_worker.process.orders import Orders, Term
from uvicorn_worker.scoreboard.board import Scoreboard
from uvicorn_worker.scoreboard.phases import Phase

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# -- orders


def told(orders: Orders) -> Term:
    assert orders.told is not None
    return orders.told


def test_what_sigterm_says_first_and_last_is_known() -> None:
    orders = Orders()
    assert not orders.to_go
    assert orders.told is None

    assert (orders.term(7), orders.term(7)) == (True, False)
    before = told(orders)
    orders.term(8)

    assert orders.to_go
    assert (told(orders).at, told(orders).successor) == (before.at, 8)
    assert before.at < before.again_at < told(orders).again_at
    orders.term(0)  # it has gone
    assert told(orders).successor == 8


def test_an_order_that_was_called_off_is_none_but_the_next_one_is() -> None:
    orders = Orders()
    orders.term(7)
    before = told(orders)

    orders.call_off(before)
    assert not orders.to_go
    assert orders.term()
    assert told(orders).at > before.at


def test_an_order_that_comes_while_another_one_is_called_off_counts() -> None:
    orders = Orders()
    orders.term(7)
    decided_upon = told(orders)
    orders.term(7)

    orders.call_off(decided_upon)

    assert orders.to_go


# -- masters


def test_the_workers_of_one_master_share_one_board() -> None:
    assert masters.scoreboard() is masters.scoreboard()


def test_a_worker_has_a_slot_even_when_all_are_taken() -> None:
    board = Scoreboard(1)
    first, second = masters.reserve(board, 1), masters.reserve(board, 2)

    second.claim(os.getpid(), 1.0)

    assert [view.generation for view in board.views()] == [first.generation]
    assert second.snapshot().phase is Phase.BOOTING


OURS = os.getpid()


@pytest.mark.parametrize(
    ("generation", "phase", "pid", "successor", "expected", "relieved", "dismissed"),
    [
        (7, Phase.BOOTING, OURS, 7, True, False, False),
        (7, Phase.BOOTING, NOBODY, 0, False, False, False),
        (7, Phase.FAILED, OURS, 0, True, False, False),  # until it was reaped
        (7, Phase.FAILED, NOBODY, 0, False, False, False),
        (7, Phase.READY, OURS, 0, True, True, False),
        (7, Phase.READY, NOBODY, 0, False, False, False),
        (7, Phase.KEPT, OURS, 0, False, False, False),
        (7, Phase.DRAINING, OURS, 0, False, False, True),
        (7, Phase.EXITED, NOBODY, 0, False, False, True),
        (3, Phase.READY, OURS, 0, False, True, False),  # older than the one that asks
        (3, Phase.BOOTING, OURS, 0, False, False, False),
        (8, Phase.BOOTING, OURS, 8, False, False, False),  # another attempt, later
    ],
    ids=range(12),  # process ids differ from run to run
)
def test_what_a_worker_that_was_told_to_go_sees_of_another_one(
    generation: int,
    phase: Phase,
    pid: int,
    successor: int,
    expected: bool,
    relieved: bool,
    dismissed: bool,
) -> None:
    board = Scoreboard(4)
    other, own = (masters.reserve(board, number) for number in (generation, 5))
    own.claim(OURS, 90.0)
    other.claim(pid, 90.0)
    other.beat(100.0, in_flight=0, connections=0, total=0)
    other.set_phase(phase)
    family = masters.Siblings(board, own)

    assert family.successor() == successor
    assert family.expected(7) is expected
    assert (family.relieved(99.0), family.relieved(100.0)) == (relieved, False)
    assert family.dismissed(7) is dismissed


def test_a_worker_is_irreplaceable_when_boots_fail_and_nobody_else_serves() -> None:
    board = Scoreboard(4)
    own, other = (masters.reserve(board, number) for number in (5, 7))
    other.claim(OURS, 90.0)
    family = masters.Siblings(board, own)
    assert not family.irreplaceable()

    board.boots.failed(100.0)
    assert family.irreplaceable()

    other.set_phase(Phase.KEPT)
    assert not family.irreplaceable()


def test_a_worker_is_awaited_only_while_nobody_serves() -> None:
    board = Scoreboard(4)
    own, other = (masters.reserve(board, number) for number in (5, 7))
    family = masters.Siblings(board, own)
    other.claim(OURS, 90.0)
    assert family.awaited()  # the other one boots

    other.set_phase(Phase.READY)
    assert not family.awaited()

    other.set_phase(Phase.DRAINING)
    assert family.awaited()

    other.release()
    assert not family.awaited()


def test_only_the_child_of_the_expected_fork_is_told() -> None:
    told, other = os.pipe()
    expected = SimpleNamespace(pid="[booting]", forked=lambda: os.write(other, b"forked"))
    masters.expect_fork(expected)
    assert _child_writes(told) == b"forked"

    expected.pid = 12345  # the master has forked its worker
    assert _child_writes(told) == b""
    os.close(told)
    os.close(other)


def _child_writes(pipe: int) -> bytes:
    os.set_blocking(pipe, False)
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    try:
        return os.read(pipe, 100)
    except BlockingIOError:
        return b""


def test_a_signal_right_after_the_fork_is_not_lost() -> None:
    """The parent is often faster than the child's first step, where Python forgets signals."""
    told: list[int] = []
    worker: Any = SimpleNamespace(pid="[booting]")
    worker.forked = lambda: signal.signal(signal.SIGTERM, lambda number, frame: told.append(number))
    masters_own = signal.signal(signal.SIGTERM, lambda number, frame: None)
    try:
        codes = []
        for _ in range(50):
            worker.pid = "[booting]"
            masters.expect_fork(worker)
            pid = os.fork()
            if pid == 0:
                os._exit(0 if told or _until(lambda: bool(told)) else 1)
            os.kill(pid, signal.SIGTERM)
            worker.pid = pid
            codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    finally:
        signal.signal(signal.SIGTERM, masters_own)

    assert codes == [0] * 50
    assert signal.SIGTERM not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def _until(condition: Callable[[], bool]) -> bool:
    try:
        return eventually(condition, timeout=2)
    except AssertionError:
        return False


# -- the page for a syntax error


def _page() -> Any:
    try:
        compile("def f(:\n", "shop.py", "exec")
    except SyntaxError as exc:
        return error_page(exc)
    raise AssertionError


async def _call(scope_type: str, *received: str) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []
    messages = iter(received)

    async def receive() -> dict[str, Any]:
        return {"type": next(messages)}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await _page()({"type": scope_type}, receive, send)
    return sent


def test_a_syntax_error_is_shown_to_http_clients() -> None:
    start, body = asyncio.run(_call("http"))

    assert start["status"] == 500
    assert (b"content-length", b"%d" % len(body["body"])) in start["headers"]
    assert b'File "shop.py", line 1' in body["body"]
    assert b"SyntaxError" in body["body"]


def test_a_syntax_error_closes_websockets_with_1011() -> None:
    accept, close = asyncio.run(_call("websocket", "websocket.connect"))

    assert accept == {"type": "websocket.accept"}
    assert close == {"type": "websocket.close", "code": 1011}


def test_a_syntax_error_does_not_stop_the_boot() -> None:
    sent = asyncio.run(_call("lifespan", "lifespan.startup", "lifespan.shutdown"))

    assert [message["type"] for message in sent] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]


# -- TLS


def test_no_certificate_means_no_tls() -> None:
    assert make_tls(gunicorn_config(), LOG) is None


def test_the_hook_makes_the_context() -> None:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)

    cfg = gunicorn_config(certfile="cert.pem", ssl_context=lambda config, factory: made)

    tls = make_tls(cfg, LOG)
    assert tls is not None
    assert tls.context is made


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    authority = Authority(folder)
    for name in ("one", "two"):
        authority.issue(name)
    encrypt_key(str(folder / "one.key"), folder / "encrypted.key")
    (folder / "bad.pem").write_text("no certificate")
    return folder


ONE = {"certfile": "one.pem", "keyfile": "one.key"}
LOG = logging.getLogger("test")


def _raise(config: Any, factory: Any) -> Any:
    raise KeyError("vault")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"certfile": "no.pem"}, ["certfile='no.pem': cannot be read: No such file"]),
        ({"certfile": "no.pem", "keyfile": "no.key"}, ["keyfile='no.key': cannot be read"]),
        ({"certfile": "one.pem", "keyfile": "two.key"}, ["the key does not belong to"]),
        ({"certfile": "bad.pem", "keyfile": "one.key"}, ["certfile='bad.pem'", "no certificate"]),
        (ONE | {"ca_certs": "bad.pem"}, ["ca_certs='bad.pem'", "no certificate in PEM"]),
        (ONE | {"ciphers": "TYPO"}, ["ciphers='TYPO'", "No cipher can be selected"]),
        (ONE | {"keyfile": "encrypted.key"}, ["is encrypted", "hook ssl_context"]),
        ({"certfile": "c.pem", "ssl_context": _raise}, ["hook ssl_context", "KeyError: 'vault'"]),
        (
            {"certfile": "c.pem", "ssl_context": lambda config, factory: None},
            ["returned None", "ssl.SSLContext"],
        ),
    ],
)
def test_a_context_that_cannot_be_made_is_refused(
    settings: dict[str, object],
    words: list[str],
    certificates: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(certificates)
    with pytest.raises(ConfigError) as caught:
        make_tls(gunicorn_config(**settings), LOG)

    assert [word for word in words if word not in str(caught.value)] == []


@pytest.mark.parametrize("mark", ["BEGIN ENCRYPTED PRIVATE KEY", "Proc-Type: 4,ENCRYPTED"])
def test_an_encrypted_key_is_refused_instead_of_asking_a_terminal(mark: str, tmp_path: Any) -> None:
    key = tmp_path / "key.pem"
    key.write_text(f"-----{mark}-----\n")

    with pytest.raises(ConfigError, match=r"is encrypted.*hook ssl_context"):
        make_tls(gunicorn_config(certfile=str(key)), LOG)
