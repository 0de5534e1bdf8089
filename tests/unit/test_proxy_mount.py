"""Where the application is mounted: `root_path`, and SCRIPT_NAME of proxies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.forwarding import PEER, make_policy, make_scope
from uvicorn_worker.errors import ApplicationError, BadRequest

if TYPE_CHECKING:
    from uvicorn_worker.asgi import Scope

FORWARDERS = ("SCRIPT_NAME", "PATH_INFO")  # what Gunicorn believes of itself


@pytest.mark.parametrize(
    ("root_path", "environ", "header", "sent", "expected"),
    [
        # (path sent by the client's proxy) -> (root_path, path)
        ("", "", None, "/x", ("", "/x")),
        ("/app", "", None, "/x", ("/app", "/app/x")),
        ("", "/app", None, "/app/x", ("/app", "/app/x")),
        ("", "/app/", None, "/app", ("/app", "/app")),
        ("", "/", None, "/x", ("", "/x")),
        ("/root", "/app", None, "/x", ("/root", "/root/x")),
        ("", "", "/app", "/app/x", ("/app", "/app/x")),
        ("", "", "/app/", "/app/x", ("/app", "/app/x")),
        ("", "", "/", "/x", ("", "/x")),
        ("", "/app", "/other", "/other/x", ("/other", "/other/x")),
        ("", "/app", "", "/x", ("", "/x")),
        ("/root", "", "/app", "/app/x", ("/app", "/app/x")),
        ("/root", "", "/app", "/app", ("/app", "/app")),
        ("", "", "/caf%C3%A9", "/café/x", ("/café", "/café/x")),
        ("", "", "/café", "/café/x", ("/café", "/café/x")),
        ("", "/app", None, "*", ("/app", "*")),
        ("", "", "/app", "*", ("/app", "*")),
        # not below it
        ("", "/app", None, "/x", None),
        ("", "/app", None, "/apple", None),
        ("", "/app", None, "/", None),
        ("", "", "/app", "/x", None),
        ("", "", "/app", "/apple/x", None),
        ("", "", "app", "/app/x", None),
        ("/root", "", "/app", "/x", None),
        ("", "/app", "/other", "/app/x", None),
    ],
)
def test_mount_point_comes_from_header_then_root_path_then_environment(
    root_path: str, environ: str, header: str | None, sent: str, expected: tuple[str, str] | None
) -> None:
    policy = make_policy(
        {"SCRIPT_NAME": environ} if environ else {},
        root_path=root_path,
        forwarder_headers=FORWARDERS,
    )
    scope: Scope = {
        "type": "http",
        "client": PEER,
        "root_path": policy.root_path,
        "path": policy.path_prefix + sent,
        "raw_path": policy.raw_path_prefix + sent.encode(),
    }
    headers = [] if header is None else [(b"script_name", header.encode())]

    def read() -> None:
        if headers:
            policy.apply(scope, headers)
        if policy.script_name:
            policy.check_mount(scope)

    if expected is None:
        with pytest.raises(ApplicationError, match="is not below"):
            read()
    else:
        read()
        assert (scope["root_path"], scope["path"]) == expected
        assert scope["raw_path"] == expected[1].encode()


def test_apply_gives_no_mount_point_that_the_proxies_may_not_set() -> None:
    scope = make_scope("/x")

    make_policy().apply(scope, [(b"script_name", b"/app")])

    assert (scope["root_path"], scope["path"]) == ("", "/x")


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([b"/app", b"/x"], "contradictory SCRIPT_NAME"),
        ([b"/caf\xe9"], "not UTF-8"),
    ],
)
def test_apply_refuses_an_unclear_mount_point(values: list[bytes], reason: str) -> None:
    with pytest.raises(BadRequest, match=reason):
        make_policy(forwarder_headers=FORWARDERS).apply(
            make_scope("/app"), [(b"script_name", value) for value in values]
        )


def test_the_mount_point_does_not_need_proxy_headers() -> None:
    scope = make_scope("/app/x", kind="websocket")

    policy = make_policy(proxy_headers=False, forwarder_headers=FORWARDERS)
    policy.apply(scope, [(b"script_name", b"/app")])

    assert (scope["root_path"], scope["path"]) == ("/app", "/app/x")
