"""The command line: what it says, and how it answers mistakes. Nothing here starts a server."""

from __future__ import annotations

import contextlib
import os
import re
from typing import TYPE_CHECKING, Any

import pytest

from uvicorn_worker import __version__
from uvicorn_worker.cli import OPTIONS, main, make_command, read
from uvicorn_worker.config import Config
from uvicorn_worker.options.advice import find_risks, find_void
from uvicorn_worker.options.files import CONFIG_FILE
from uvicorn_worker.options.sources import Given
from uvicorn_worker.options.words import read_plainly

if TYPE_CHECKING:
    from pathlib import Path

A = "nowhere:app"


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test an empty folder and an environment without variables for us."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith("UVICORN_") or name in ("WEB_CONCURRENCY", "FORWARDED_ALLOW_IPS"):
            monkeypatch.delenv(name)


# -- mistakes

USAGE = [
    ("", "APP is missing"),
    ("a:b c:d", "unexpected extra argument (c:d)"),
    (f"{A} --prot 80", "--prot: there is no such option; did you mean '--port'?"),
    (f"{A} -p 80", "-p: there is no such option"),
    (f"{A} --access-log=no", "'--access-log' does not take a value"),
    (f"{A} --port", "'--port' requires an argument"),
    (f"{A} --port x", "--port='x': expected a whole number"),
    (f"{A} --port 80.5", "--port='80.5': expected a whole number"),
    (f"{A} --port -1", "--port=-1: expected a number from 0 to 65535"),
    (f"{A} --port 65536", "--port=65536: expected a number from 0 to 65535"),
    (f"{A} --fd x", "--fd='x'"),
    (f"{A} --loop gevent", "--loop='gevent': expected one of auto, asyncio, uvloop"),
    (f"{A} --http h2", "--http='h2': expected one of auto, httptools, h11"),
    (f"{A} --ws yes", "--ws='yes'"),
    (f"{A} --lifespan maybe", "--lifespan='maybe': expected one of auto, on, off"),
    (f"{A} --interface rack", "--interface='rack'"),
    (f"{A} --log-level loud", "--log-level='loud': expected one of critical"),
    (f"{A} --log-format xml", "--log-format='xml': expected one of text, json"),
    (f"{A} --ws-max-size 16Mx", "--ws-max-size='16Mx': expected bytes"),
    (f"{A} --ws-max-queue 0", "--ws-max-queue=0: expected a number of at least 1"),
    (f"{A} --ws-ping-interval soon", "--ws-ping-interval='soon': expected seconds"),
    (f"{A} --ws-per-message-deflate perhaps", "--ws-per-message-deflate='perhaps'"),
    (f"{A} --timeout-keep-alive 2y", "--timeout-keep-alive='2y': expected seconds"),
    (f"{A} --timeout-keep-alive=-1", "--timeout-keep-alive=-1.0: expected a number"),
    (f"{A} --timeout-keep-alive inf", "--timeout-keep-alive=inf: expected seconds"),
    (f"{A} --ws-ping-interval nan", "--ws-ping-interval=nan: expected seconds"),
    (f"{A} --timeout-graceful-shutdown 1e999", "--timeout-graceful-shutdown=inf: expected seconds"),
    (f"{A} --root-path http://a/api", "--root-path='http://a/api': expected a path"),
    (f"{A} --access-log-skip health", "--access-log-skip=('health',): expected paths"),
    (f"{A} --ssl-version 99", "--ssl-version=99: expected one of 17, 2, 5, 4, 3"),
    (f"{A} --limit-concurrency 0", "--limit-concurrency=0: expected a number of at least 1"),
    (f"{A} --limit-max-requests many", "--limit-max-requests='many'"),
    (f"{A} --backlog none", "--backlog='none': expected a whole number"),
    (f"{A} --header X-A", "--header='X-A': expected NAME:VALUE"),
    (f"{A} --header Content-Length:1", "'Content-Length' is set by the server"),
    (f"{A} --header B@d:1", "'B@d' is no header name"),
    (f"{A} --secure-scheme-headers x", "--secure-scheme-headers='x': expected NAME=VALUE"),
    (f"{A} --uds=", "--uds='': expected a path"),
    (f"{A} --ssl-certfile= --ssl-keyfile=", "--ssl-certfile='': expected a path"),
    (f"{A} --uds-mode 9", "--uds-mode='9': expected a file mode"),
    (f"{A} --ssl-cert-reqs 3", "--ssl-cert-reqs=3: expected a number from 0 to 2"),
    (f"{A} --workers 4", f"uvicorn-supervisor {A} --workers 4"),
    (f"{A} -w 4", f"uvicorn-supervisor {A} -w 4"),
    (f"{A} --workers 0", "--workers=0: expected a number of at least 1"),
    (f"{A} --reload", f"--reload needs uvicorn-supervisor: uvicorn-supervisor {A} --reload"),
    (f"{A} --reload-dir src", "--reload-dir is an option of uvicorn-supervisor"),
    (f"{A} --preload", "--preload is an option of uvicorn-supervisor"),
    (f"{A} --http2", "--http2: HTTP/2 is not served here"),
    (f"{A} --timeout 30", "--timeout is an option of uvicorn-supervisor"),
    (f"{A} --port 80 --uds a", "--port has no effect with --uds"),
    (f"{A} --host a --fd 3", "--host has no effect with --fd"),
    (f"{A} --port 80 -b a:1", "--port has no effect with --bind"),
    (f"{A} --uds a --fd 3", "--uds and --fd: only one of them"),
    (f"{A} --forwarded-allow-ips 10.0.0.1,proxy", "--forwarded-allow-ips=('10.0.0.1', 'proxy'): "),
    ("check", "APP is missing"),
    (f"check {A} --prot 80", "--prot: there is no such option"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "culprit"), USAGE, ids=[line for line, _ in USAGE])
def test_a_wrong_command_line_is_answered_in_one_line(
    line: str, culprit: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(line.split()) == 2
    assert_names(culprit, capsys)


CONFIGURATION = [
    ({"UVICORN_PORT": "x"}, "", "UVICORN_PORT='x': expected a whole number"),
    ({"UVICORN_PORT": "70000"}, "", "UVICORN_PORT=70000: expected a number from 0 to 65535"),
    ({"UVICORN_LOOP": "a"}, "", "UVICORN_LOOP='a': expected one of"),
    ({"UVICORN_UDS": "a", "UVICORN_FD": "3"}, "", "UVICORN_UDS and UVICORN_FD: only one of them"),
    ({"WEB_CONCURRENCY": "many"}, "", "WEB_CONCURRENCY='many'"),
    ({"FORWARDED_ALLOW_IPS": "proxy"}, "", "FORWARDED_ALLOW_IPS=('proxy',): 'proxy' names no"),
    ({"UVICORN_CONFIG": "no.toml"}, "", "config='no.toml': No such file"),
    ({"UVICORN_ENV_FILE": "no.env"}, "", "env_file='no.env': No such file"),
    ({"UVICORN_ENV_FILE": "."}, "", "env_file='.': Is a directory"),
    ({"UVICORN_SSL_KEYFILE": "key.pem"}, "", "UVICORN_SSL_KEYFILE='key.pem' needs ssl_certfile"),
    ({}, "port = ", "pyproject.toml: not valid TOML"),
    ({}, "prot = 1", "pyproject.toml [tool.uvicorn] prot: there is no such option; did you mean"),
    ({}, "port = 'x'", "pyproject.toml [tool.uvicorn] port='x': expected a whole number"),
    ({}, "port = [1]", "pyproject.toml [tool.uvicorn] port=[1]: expected a whole number"),
    ({}, "loop = 1", "pyproject.toml [tool.uvicorn] loop=1: expected one of"),
    ({}, "headers = ['a']", "pyproject.toml [tool.uvicorn] headers='a': expected NAME:VALUE"),
    ({}, "env_file = 'no.env'", "env_file='no.env': No such file"),
]


@pytest.mark.parametrize(("environ", "table", "culprit"), CONFIGURATION)
def test_a_wrong_variable_or_file_is_answered_in_one_line(
    environ: dict[str, str],
    table: str,
    culprit: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, text in environ.items():
        monkeypatch.setenv(name, text)
    if table:
        (tmp_path / "pyproject.toml").write_text(f"[tool.uvicorn]\n{table}\n")

    assert main([A]) == 1
    assert_names(culprit, capsys)


def assert_names(culprit: str, capsys: pytest.CaptureFixture[str]) -> None:
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert err.startswith("Error: ")
    assert culprit in err


# -- what is not a mistake


def test_a_file_in_utf_16_is_no_toml(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.toml").write_bytes("port = 1".encode("utf-16"))

    assert main([A, "--config", "a.toml"]) == 1
    assert "a.toml: not valid TOML" in capsys.readouterr().err


def test_workers_elsewhere_do_not_stop_a_single_process(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.uvicorn]\nreload = true\n")

    told = read([A], {"WEB_CONCURRENCY": "4"})

    assert told is not None
    assert (told.config.workers, told.config.reload) == (None, False)
    assert list(told.notes) == [
        "WEB_CONCURRENCY=4 is for uvicorn-supervisor: this is one process",
        "pyproject.toml [tool.uvicorn] reload=True is for uvicorn-supervisor: this is one process",
    ]


def test_one_worker_is_no_reason_to_complain() -> None:
    told = read([A, "--workers", "1", "--no-reload"], {})

    assert told is not None
    assert told.notes == []


def test_a_bind_without_a_port_takes_that_of_the_option() -> None:
    told = read([A, "--bind", "localhost", "--port", "9000"], {})

    assert told is not None
    assert (told.config.bind, told.config.port) == (("localhost",), 9000)


def test_repeated_flags_add_up() -> None:
    told = read([A, "-b", "a:1", "--bind", "b:2", "--header", "A:1", "--header", "B: 2"], {})

    assert told is not None
    assert told.config.bind == ("a:1", "b:2")
    assert told.config.headers == (("A", "1"), ("B", "2"))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("prot", "prot is no option; did you mean 'port'?"),
        ("debug", "debug is no option"),
        ("reload_dirs", "reload_dirs is an option of uvicorn_supervisor.run() only"),
    ],
)
def test_unknown_names_in_code_are_refused(name: str, says: str) -> None:
    unknown: dict[str, Any] = {name: None}

    with pytest.raises(TypeError) as refusal:
        Config(A, **unknown)
    assert str(refusal.value) == says


@pytest.mark.parametrize("option", OPTIONS.values(), ids=lambda option: option.name)
def test_every_option_means_the_same_everywhere(
    option: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = getattr(option, "name", "")
    texts = {
        "app": "x:y", "bind": "a:1", "fd": "7", "forwarded_allow_ips": "10.0.0.1",
        "forwarder_headers": "X_A", "headers": "A:1", "host": "h",
        "proxy_allow_ips": "10.0.0.2", "root_path": "/api", "secure_scheme_headers": "X=y",
        "timeout_request_exempt": "/events", "workers": "1",
    }  # fmt: skip
    kind, flags = OPTIONS[name].kind, OPTIONS[name].flags
    if not flags or name == "reload":
        pytest.skip("in code only, or not here")
    text = texts.get(name) or _another(name)
    (tmp_path / "1").touch()  # the env-file
    value = OPTIONS[name].parse(text, name)
    words = [text] if name == "app" else [A, *_words(flags[0], text, switch=not kind.metavar)]
    needs: dict[str, Any] = {"ssl_keyfile": {"ssl_certfile": "c"}}.get(name, {})
    environ = {f"UVICORN_{key.upper()}": one for key, one in needs.items()}

    from_line = read(words, dict(environ))
    from_variable = read([] if name == "app" else [A], {**environ, OPTIONS[name].variable: text})
    (tmp_path / "pyproject.toml").write_text(f"[tool.uvicorn]\n{name} = '{text}'\n")
    from_file = read([] if name == "app" else [A], dict(environ)) if name != "env_file" else None
    in_code = Config(**{"app": A, **needs, name: value})

    found = [getattr(told.config, name) for told in (from_line, from_variable, from_file) if told]
    assert [*found, getattr(in_code, name)] == [value] * (len(found) + 1)
    assert value != OPTIONS[name].default


def _another(name: str) -> str:
    """Return the text of a value that is not the default of an option."""
    option = OPTIONS[name]
    if option.kind.choices:
        return next(word for word in option.kind.choices if word != option.default)
    if isinstance(option.default, bool):
        return "false" if option.default else "true"
    for text in ("1", "true", "/1", "5"):
        with contextlib.suppress(ValueError):  # not of its kind
            value = option.parse(text, name)
            if option.problem(value) is None and value != option.default:
                return text
    raise AssertionError(f"no value for {name}")


def _words(flag: str, text: str, *, switch: bool) -> list[str]:
    if not switch:
        return [flag, text]
    return [flag if text in ("1", "true") else f"--no-{flag[2:]}"]


TUTORIALS = [
    "main:app",
    "app:app --host 0.0.0.0 --port 8080",
    "app:app --log-level debug",
    "app:app --timeout-keep-alive 5 --limit-concurrency 100 --limit-max-requests 1000",
    "--factory main:create_app",
    "main:app --uds /tmp/uvicorn.sock --proxy-headers --forwarded-allow-ips=*",
    "main:app --fd 0",
    "main:app --ssl-keyfile=./key.pem --ssl-certfile=./cert.pem",
    "main:app --loop uvloop --http httptools --ws websockets --lifespan on --interface asgi3",
    "main:app --ws-max-size 16777216 --ws-ping-interval 20.0 --ws-per-message-deflate true",
    "main:app --no-access-log --no-use-colors --no-server-header --no-date-header --root-path /v1",
    "main:app --header X-Frame-Options:DENY --backlog 2048 --app-dir src --workers 1",
    "main:app --log-config logging.yaml --h11-max-incomplete-event-size 65536",
    "app:app --bind 0.0.0.0:8000 --graceful-timeout 30 --keep-alive 5 --max-requests 1000",
]


@pytest.mark.parametrize("line", TUTORIALS)
def test_command_lines_of_tutorials_are_taken(line: str) -> None:
    told = read(line.split(), {})

    assert told is not None
    assert (told.warnings, told.notes) == ([], [])


@pytest.mark.parametrize(
    "line",
    [
        *(line for line in TUTORIALS if "=" not in line),
        "-b a:1 --bind b:2 x:y --header A:1 --header B:2 --port 1 --port 2",
        "x:y --access-log --no-access-log --uds --port --config a.toml",
        "x:y --header A:1 --forwarded-allow-ips ::2,* --use-colors",
    ],
)
def test_plain_lines_are_read_as_click_reads_them(line: str) -> None:
    words = line.split()
    plain = read_plainly(words, {**OPTIONS, "config": CONFIG_FILE})

    assert plain is not None
    assert plain == make_command(words).read(words)


@pytest.mark.parametrize(
    "line", ["a b", "a --help", "a --port", "a --prot 1", "--port=1", "a --", "-w4"]
)
def test_other_lines_are_left_to_click(line: str) -> None:
    assert read_plainly(line.split(), OPTIONS) is None


# -- help


def test_help_has_every_flag_its_variable_and_no_long_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--help"]) == 0

    text = capsys.readouterr().out
    assert [line for line in text.splitlines() if len(line) > 80] == []
    for option in OPTIONS.values():
        for flag in option.flags if option.name != "app" else ():
            assert flag in text.replace("[no-]", "")
        assert option.variable in text
    assert re.search(r"^Binding:$", text, re.MULTILINE)
    assert "[default: 8000; env: UVICORN_PORT]" in " ".join(text.split())


def test_version_names_command_and_python(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    pattern = rf"Running uvicorn-worker {re.escape(__version__)} with \w+ [\d.]+\S* on \w+\n"
    assert re.fullmatch(pattern, capsys.readouterr().out)


# -- advice


@pytest.mark.parametrize(
    ("options", "risk"),
    [
        ({}, None),
        ({"host": "0.0.0.0"}, "0.0.0.0:8000 is open to other machines without any limit"),
        ({"host": "0.0.0.0", "limit_concurrency": 9}, None),
        ({"uds": "/run/a"}, None),
        ({"forwarded_allow_ips": "*"}, "forwarded_allow_ips trusts everybody"),
        ({"forwarded_allow_ips": "*", "proxy_headers": False}, None),
        ({"proxy_protocol": "v1", "proxy_allow_ips": "*"}, "proxy_allow_ips lets everybody"),
        ({"log_level": "trace"}, "log_level=trace is for finding faults"),
        ({"ssl_certfile": "a", "ssl_version": 3}, "ssl_version=3 is TLS 1.0"),
        ({"ssl_cert_reqs": 1}, "ssl_cert_reqs=1 lets clients without"),
        ({"permit_obsolete_folding": True}, "permit_obsolete_folding: a proxy"),
        ({"timeout_request_head": 0}, "timeout_request_head off"),
        ({"limit_max_requests": 5}, "limit_max_requests=5 ends the process"),
    ],
)
def test_risks(options: dict[str, object], risk: str | None) -> None:
    found = find_risks(Config(A, **options), {})  # type: ignore[arg-type]  # of any option

    assert [text.startswith(risk or "?") for text in found] == ([True] if risk else [])


def test_a_password_on_the_command_line_is_a_risk() -> None:
    given = {"ssl_keyfile_password": Given("x", "--ssl-keyfile-password")}

    assert find_risks(Config(A), given)[0].startswith("--ssl-keyfile-password is seen by every")


@pytest.mark.parametrize(
    ("name", "other", "needs"),
    [
        ("limit_max_requests_jitter", {}, "limit_max_requests"),
        ("access_log_skip", {"access_log": False}, "access_log"),
        ("use_colors", {"log_format": "json"}, "log_format text"),
        ("log_format", {"log_config": None}, "log_config"),
        ("ws_max_size", {"ws": "none"}, "WebSockets, and ws is none"),
        ("uds_mode", {}, "the file of a UNIX socket to listen on"),
        ("uds_mode", {"uds": "@a"}, "the file of a UNIX socket to listen on"),
        ("limit_connection_age_jitter", {}, "limit_connection_age"),
        ("timeout_request_exempt", {}, "timeout_request"),
        ("ws_ping_timeout", {"ws_ping_interval": None}, "ws_ping_interval"),
        ("forwarded_allow_ips", {"proxy_headers": False}, "proxy_headers"),
        ("proxy_allow_ips", {}, "proxy_protocol"),
        ("ssl_version", {}, "ssl_certfile"),
    ],
)
def test_options_that_another_one_makes_void(
    name: str, other: dict[str, object], needs: str
) -> None:
    given = {name: Given(None, f"--{name}")}

    found = find_void(Config(A, **other), given)  # type: ignore[arg-type]  # of any option

    assert found == [f"--{name} has no effect: it needs {needs}"]
