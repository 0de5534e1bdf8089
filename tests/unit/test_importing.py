"""Which names lead to an application, and what is said of those that do not."""

from __future__ import annotations

import logging
import sys
import traceback
from typing import TYPE_CHECKING, Any

import pytest

from uvicorn_worker.application.importing import load_application
from uvicorn_worker.config import Config
from uvicorn_worker.errors import AppLoadError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAIN = """
async def application(scope, receive, send):
    return seen

seen = None

def create(word="", *, level=1):
    global seen
    seen = (word, level)
    return application

class Holder:
    app = staticmethod(application)

holder = Holder()
settings = {"debug": True}

def wsgi(environ, start_response):
    return []

def broken_factory():
    raise KeyError("SECRET_KEY")

def __getattr__(name):
    if name == "database":
        raise RuntimeError("no database")
    raise AttributeError(name)
"""

FILES = {
    "shop/__init__.py": "",
    "shop/main.py": MAIN,
    "shop/needs.py": "\nimport not_installed\n",
    "shop/asks_itself.py": "import shop.asks_itself.app\n",
    "wrong_syntax.py": "def f(:\n    pass\n",
    "fails.py": "from shop import main\nmain.broken_factory()\n",
    "leaves.py": "import sys\nsys.exit('no settings')\n",
    "misconfigures.py": "from uvicorn_worker.config import Config\nConfig('a:b', port=-1)\n",
    "my-app.py": "async def app(scope, receive, send): pass\n",
    "inner/deeper.py": "async def app(scope, receive, send): pass\n",
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of modules, current and forgotten afterwards."""
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.mark.parametrize(
    ("app", "options"),
    [
        ("shop.main:application", {}),
        ("shop.main:holder.app", {}),
        ("shop.main: application ", {}),
        ("shop.main:create", {"factory": True}),
        ("shop.main:create()", {}),
        ("shop.main:create()", {"factory": True}),
        ("shop.main:create('x', level=[2])", {}),
        ("shop.main:wsgi", {}),
        ("shop.main:wsgi", {"interface": "wsgi"}),
        ("my-app:app", {}),
        ("deeper:app", {"app_dir": "inner"}),
    ],
)
@pytest.mark.usefixtures("project")
def test_names_lead_to_applications(app: str, options: dict[str, Any]) -> None:
    loaded = load_application(Config(app, **options))

    assert callable(loaded)
    if "create" in app:
        assert sys.modules["shop.main"].seen == (("x", [2]) if "'x'" in app else ("", 1))


def test_an_application_may_be_given_in_code() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None: ...

    assert load_application(Config(app)) is app
    assert load_application(Config(lambda: app, factory=True)) is app


@pytest.mark.parametrize(
    ("app", "reason"),
    [
        ("shop", "the colon is missing; did you mean 'shop:app'?"),
        ("shop.main:", "the attribute is missing; did you mean 'shop.main:app'?"),
        (":app", "the name of the module is not complete"),
        ("shop..main:app", "the name of the module is not complete"),
        (".main:app", "the name of the module is not complete"),
        ("shop/main.py", "did you mean 'shop.main:app'?"),
        ("./shop/main.py:create()", "did you mean 'shop.main:create()'?"),
        ("shop.main.py:application", "did you mean 'shop.main:application'?"),
        ("shop.main:application)", "'application)' is not the name of an attribute"),
        ("shop.main:[1]", "'[1]' is neither a name nor the call of one"),
        ("shop.main:holder['app']", "\"holder['app']\" is neither a name"),
        ("shop.main:create(application)", "the arguments of a factory have to be literals"),
        ("shop.main:create(**{'level': 1})", "the arguments of a factory have to be literals"),
        ("shop.main:create(size=1)", "create(): got an unexpected keyword argument 'size'"),
        ("shop.main:settings()", "'settings' cannot be called"),
        ("shpo.main:app", "there is no module 'shpo' in {project}; did you mean 'shop'?"),
        ("shop.mian:app", "there is no module 'shop.mian' in {project}/shop; did you mean 'main'?"),
        ("shop.main.app:app", "the module 'shop.main' is no package"),
        ("deeper:app", "no module 'deeper' in {project}; did you mean --app-dir inner?"),
        ("zzz:app", "there is no module 'zzz' in {project}"),
        ("shop.main:app", "has no attribute 'app'; did you mean 'application'?"),
        ("shop.main:creat", "has no attribute 'creat'; did you mean 'create'?"),
        ("shop.main:holder.ap", "'holder' has no attribute 'ap'; did you mean 'app'?"),
        ("shop.main:zzz", "({project}/shop/main.py) has no attribute 'zzz'"),
        ("shop.main:settings", "the builtins.dict object is not an ASGI application"),
    ],
)
def test_wrong_names_are_one_line_with_a_hint(app: str, reason: str, project: Path) -> None:
    with pytest.raises(AppLoadError) as caught:
        load_application(Config(app))

    message = str(caught.value)
    assert message.startswith(f"cannot load {app!r}: ")
    assert reason.format(project=project) in message
    assert "\n" not in message
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("app", "error", "first", "last"),
    [
        pytest.param(
            "shop.needs:app",
            "ModuleNotFoundError: No module named 'not_installed'",
            "shop/needs.py",
            "shop/needs.py",
            id="own-import",
        ),
        pytest.param(
            "shop.asks_itself:app",
            "ModuleNotFoundError: No module named 'shop.asks_itself.app'",
            "shop/asks_itself.py",
            "shop/asks_itself.py",
            id="own-import-of-a-similar-name",
        ),
        pytest.param(
            "fails:app", "KeyError: 'SECRET_KEY'", "fails.py", "shop/main.py", id="exception"
        ),
        pytest.param(
            "shop.main:broken_factory()",
            "KeyError: 'SECRET_KEY'",
            "shop/main.py",
            "shop/main.py",
            id="factory",
        ),
        pytest.param(
            "shop.main:database",
            "RuntimeError: no database",
            "shop/main.py",
            "shop/main.py",
            id="attribute",
        ),
        pytest.param("leaves:app", "SystemExit: no settings", "leaves.py", "leaves.py", id="exit"),
        pytest.param(
            "misconfigures:app",
            "ConfigError: port=-1",
            "misconfigures.py",
            "uvicorn_worker/options/declared.py",
            id="our-own-error-in-the-users-code",
        ),
    ],
)
def test_an_error_in_the_users_code_keeps_its_traceback(
    app: str, error: str, first: str, last: str, project: Path
) -> None:
    with pytest.raises(AppLoadError) as caught:
        load_application(Config(app))

    message = str(caught.value)
    assert message.startswith(f"cannot load {app!r}: its own code failed with {error}")
    cause = caught.value.__cause__
    assert cause is not None
    frames = traceback.extract_tb(cause.__traceback__)
    assert frames[0].filename == str(project / first)
    assert frames[-1].filename.endswith(last)


@pytest.mark.usefixtures("project")
def test_wrong_syntax_shows_the_line() -> None:
    with pytest.raises(AppLoadError, match=r"SyntaxError: .*wrong_syntax\.py, line 1") as caught:
        load_application(Config("wrong_syntax:app"))

    text = "".join(traceback.format_exception(caught.value.__cause__))
    assert "def f(:" in text
    assert "importlib" not in text


@pytest.mark.usefixtures("project")
def test_what_is_missing_around_the_application_is_a_wrong_configuration(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(ConfigError, match="app_dir='nowhere': no such folder"):
        load_application(Config("shop.main:application", app_dir="nowhere"))

    monkeypatch.setitem(sys.modules, "a2wsgi", None)
    monkeypatch.delitem(sys.modules, "uvicorn_worker.application.wsgi", raising=False)
    with pytest.raises(ConfigError, match="pip install"):
        load_application(Config("shop.main:wsgi"))


@pytest.mark.usefixtures("project")
def test_what_was_guessed_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        for app in ("shop.main:create", "shop.main:wsgi", "shop.main:application"):
            load_application(Config(app), logging.getLogger())

    first, second = caplog.messages
    assert "shop.main.create is a factory" in first
    assert "shop.main.wsgi is served as a WSGI application, in 10 threads" in second


def test_the_folder_comes_first_and_only_once(project: Path) -> None:
    for _ in range(2):
        load_application(Config("shop.main:application"))

    assert sys.path[0] == str(project)
    assert sys.path.count(str(project)) == 1
