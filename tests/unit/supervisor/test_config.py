"""The supervisor's options: what is refused, what follows from them."""

from __future__ import annotations

from typing import Any

import pytest

from uvicorn_supervisor.config import AUTO, RELOADING_GRACE, SupervisorConfig
from uvicorn_supervisor.decisions.limits import NEVER
from uvicorn_worker.config import LOGGING_CONFIG
from uvicorn_worker.errors import ConfigError
from uvicorn_worker.options.declared import options_of


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"workers": 0}, "workers=0: expected a number from 1 to 256"),
        ({"workers": 100_000}, "workers=100000: expected a number from 1 to 256"),
        ({"workers": "some"}, "workers='some': expected a whole number or auto"),
        ({"timeout_boot": -1}, "timeout_boot=-1: expected a number of at least 0"),
        ({"max_replacing": 0}, "max_replacing=0: expected a number of at least 1"),
        ({"reuse_port": True, "workers": "auto"}, "expected a number of workers"),
        ({"reuse_port": True, "fd": 3}, "reuse_port and fd: expected a host and port"),
        ({"reload": True, "preload": True}, "reload and preload: one of them, not both"),
        ({"app": print, "reload": True}, "expected the application as 'MODULE:ATTRIBUTE'"),
        (
            {"error_logfile": "log", "log_config": None},
            "error_logfile and log_config: one of them says where the log goes",
        ),
    ],
)
def test_what_is_refused(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        SupervisorConfig(**{"app": "shop:app", **options})

    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("workers", "count"), [(None, 1), (3, 3), ("4", 4), ("auto", 1), ("AUTO", 1)]
)
def test_a_number_of_workers(workers: object, count: int) -> None:
    config = SupervisorConfig("shop:app", workers=workers)

    assert config.count == count
    assert (config.workers == AUTO) is (str(workers).lower() == "auto")


@pytest.mark.parametrize(
    ("options", "graceful"),
    [
        ({}, 30.0),
        ({"timeout_graceful_shutdown": "2m"}, 120.0),
        ({"timeout_graceful_shutdown": None}, NEVER),
        ({"timeout_graceful_shutdown": None, "reload": True}, RELOADING_GRACE),
        ({"timeout_graceful_shutdown": 0.5, "reload": True}, 0.5),
    ],
)
def test_the_time_for_a_stop_is_bounded(options: dict[str, Any], graceful: float) -> None:
    assert SupervisorConfig("shop:app", **options).limits().graceful == graceful


def test_limits_are_those_of_the_options() -> None:
    limits = SupervisorConfig(
        "shop:app",
        limit_max_requests=1000,
        limit_max_requests_jitter=50,
        limit_worker_age=3600.0,
        limit_worker_age_jitter=300.0,
        limit_worker_memory=300 * 1024**2,
        drain_delay=5,
        max_replacing=2,
        timeout_boot=10.0,
        timeout_worker_healthcheck=0,
    ).limits()

    assert (limits.requests, limits.requests_jitter) == (1000, 50)
    assert (limits.age, limits.age_jitter) == (3600.0, 300.0)
    assert limits.memory == 300 * 1024**2
    assert (limits.drain_delay, limits.max_replacing) == (5, 2)
    assert (limits.boot, limits.healthcheck) == (10.0, 0)


def test_logs_go_to_files() -> None:
    config = SupervisorConfig("shop:app", error_logfile="errors", access_logfile="-")

    handlers = config.log_config["handlers"]
    assert handlers["default"]["filename"] == "errors"
    assert "stream" not in handlers["default"]
    assert handlers["access"]["stream"] == "ext://sys.stdout"
    assert LOGGING_CONFIG["handlers"]["default"]["stream"] == "ext://sys.stderr", "its own copy"


@pytest.mark.parametrize(
    ("name", "flags"),
    [
        ("workers", ("--workers", "-w")),
        ("timeout_worker_healthcheck", ("--timeout-worker-healthcheck", "--timeout")),
        ("timeout_graceful_shutdown", ("--timeout-graceful-shutdown", "--graceful-timeout")),
        ("reload_dirs", ("--reload-dir",)),
        ("pid", ("--pid",)),
    ],
)
def test_flags(name: str, flags: tuple[str, ...]) -> None:
    assert options_of(SupervisorConfig)[name].flags == flags
