"""Declared options as the flags of a command: parsing, `--help`, shell completion.

The only module that knows click. Whatever is wrong with a command line is a UsageError of one
line; the text of values is read by the kinds of the options.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from uvicorn_worker.errors import UsageError
from uvicorn_worker.options.declared import did_you_mean
from uvicorn_worker.options.values import BOOLEAN, PATH
from uvicorn_worker.options.words import read_values

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from click.shell_completion import CompletionItem

    from uvicorn_worker.options.declared import Option
    from uvicorn_worker.options.sources import Layer

    ParamType = click.ParamType[str]
else:
    ParamType = click.ParamType  # generic since click 8.4 only

HELP_INDENT = 26  # columns for a flag and its value, beside its help
TIED = "\N{NO-BREAK SPACE}"  # between words of the help that stay in one line


class Command(click.Command):
    """A command whose flags are options, and whose one argument is the option `app`."""

    def __init__(
        self,
        name: str,
        options: Iterable[Option],
        *,
        about: str,
        version: str,
        elsewhere: Mapping[str, str] | None = None,
    ) -> None:
        """`elsewhere` are flags that are not the command's, and what to say of them."""
        self.options = {option.name: option for option in options if option.flags}
        self.elsewhere = elsewhere or {}
        argument = click.Argument(["app"], required=False, metavar="APP")
        flags: list[click.Parameter] = [
            _parameter(option) for option in self.options.values() if option.name != "app"
        ]
        super().__init__(
            name,
            params=[argument, *flags, _version_option(version)],
            callback=lambda **words: words,
            help=about,
            context_settings={"help_option_names": ["-h", "--help"]},
        )

    def read(self, words: Sequence[str]) -> Layer | None:
        """Return the options on a command line, None where it asked for help or the version.

        Completes words for the shell, and exits, where that is what the process was started for.

        Raises:
            UsageError: it is wrong.
        """
        try:
            found: Any = self.main(list(words), prog_name=self.name, standalone_mode=False)
        except click.NoSuchOption as exc:
            raise UsageError(self._no_such_flag(exc.option_name)) from None
        except click.ClickException as exc:
            raise UsageError(_one_line(exc)) from None
        if not isinstance(found, dict):
            return None
        given = {name: value for name, value in found.items() if value not in (None, ())}
        return read_values(given, self.options)

    def _no_such_flag(self, flag: str) -> str:
        if flag in self.elsewhere:
            return self.elsewhere[flag]
        known = [word for param in self.params for word in (*param.opts, *param.secondary_opts)]
        return f"{flag}: there is no such option{did_you_mean(flag, known)}"

    # -- help

    def get_help(self, ctx: click.Context) -> str:
        return super().get_help(ctx).replace(TIED, " ")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the flags by their topics."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for option in self.options.values():
            groups.setdefault(option.group, []).append(help_row(option))
        for title, rows in groups.items():
            with formatter.section(title):
                formatter.write_dl(rows, col_max=HELP_INDENT)
        shown = {"app", *self.options}
        others = [param for param in self.get_params(ctx) if param.name not in shown]
        with formatter.section("Other"):
            rows = [row for param in others if (row := param.get_help_record(ctx)) is not None]
            formatter.write_dl(rows, col_max=HELP_INDENT)


def help_row(option: Option) -> tuple[str, str]:
    """Return what `--help` shows of an option: its flags and value, and what it does."""
    kind = option.kind
    if option.name == "app":
        flags = "APP"
    elif kind.metavar:
        # Short flags first, as people know it from other commands.
        words = sorted(option.flags, key=lambda flag: flag.startswith("--"))
        flags = f"{', '.join(words)} {kind.metavar}"
    else:
        flags = ", ".join(f"--[no-]{flag[2:]}" for flag in option.flags)
    default = "" if option.secret else kind.show(option.default)
    facts = [f"default:{TIED}{default}"] if default not in ("", "none") else []
    facts.append(f"env:{TIED}{', '.join(filter(None, (option.variable, option.also)))}")
    return flags, f"{option.help} [{'; '.join(facts)}]"


# -- an option -> a parameter of click's


def _parameter(option: Option) -> click.Option:
    if not option.kind.metavar:
        names = [f"{flag}/--no-{flag[2:]}" for flag in option.flags]
        return click.Option([*names, option.name], default=None)
    return click.Option(
        [*option.flags, option.name],
        type=_Word(option),
        multiple=option.kind.many,
        default=None,
        metavar=option.kind.metavar,
    )


class _Word(ParamType):
    """The text of a value, read later; offers the values that it can have to the shell."""

    name = "text"

    def __init__(self, option: Option) -> None:
        self._option = option

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem  # asked for by the shell only

        kind = self._option.kind
        if kind.metavar == PATH.metavar:
            return [CompletionItem(incomplete, type="file")]
        words = ("true", "false") if kind.metavar == BOOLEAN.metavar else kind.choices
        return [CompletionItem(word) for word in words if word.startswith(incomplete)]


def _version_option(version: str) -> click.Option:
    def show(ctx: click.Context, param: click.Parameter, wanted: bool) -> None:
        if wanted and not ctx.resilient_parsing:
            import platform

            python = f"{platform.python_implementation()} {platform.python_version()}"
            click.echo(f"Running {ctx.info_name} {version} with {python} on {platform.system()}")
            ctx.exit()

    return click.Option(
        ["--version"],
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=show,
        help="Show the version and exit.",
    )


def _one_line(exc: click.ClickException) -> str:
    text = " ".join(exc.format_message().split()).rstrip(".")
    return text[:1].lower() + text[1:] if text[1:2].islower() else text
