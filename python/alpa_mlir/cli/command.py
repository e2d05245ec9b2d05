"""What our command lines have in common: how they refuse, and options that several have.

Bad input is one line on standard error and exit code 2, whether click finds it or we do; files are
as they were then. Ctrl-C is exit code 130, as shells have it.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from alpa_mlir.errors import AlpaError
from alpa_mlir.progress import OnProgress, say_nothing
from alpa_mlir.report.progress import terminal_progress

BAD_INPUT = 2
_INTERRUPTED = 130
_Callback = TypeVar("_Callback", bound=Callable[..., Any])


class OneLineCommand(click.Command):
    """A command whose refusals are one line."""

    def main(self, *args: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        if not standalone_mode:
            return super().main(*args, standalone_mode=False, **extra)
        # As any filter does, end quietly when the reader of our output is gone.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        try:
            code = super().main(*args, standalone_mode=False, **extra)
        except click.ClickException as error:
            fail(error.format_message())
        except (AlpaError, OSError) as error:
            fail(str(error))
        except click.Abort:
            click.echo("interrupted", err=True)
            sys.exit(_INTERRUPTED)
        sys.exit(code if isinstance(code, int) else 0)


class OneLineGroup(OneLineCommand, click.Group):
    """A group of them."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args and not ctx.resilient_parsing:  # by a shell that completes
            names = ", ".join(self.list_commands(ctx))
            raise click.UsageError(f"expected a command: {names}; see {ctx.command_path} --help")
        return super().parse_args(ctx, args)


def fail(message: str, code: int = BAD_INPUT) -> NoReturn:
    """Ends the program; the lines of a message become one."""
    lines = (line.strip() for line in message.splitlines())
    click.echo("error: " + " | ".join(filter(None, lines)), err=True)
    sys.exit(code)


def file_option(*names: str, help_text: str) -> Callable[[_Callback], _Callback]:
    """A file that is written; shells complete its name."""
    return click.option(*names, type=click.Path(dir_okay=False, path_type=Path), help=help_text)


def json_option(command: _Callback) -> _Callback:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def quiet_option(command: _Callback) -> _Callback:
    return click.option("--quiet", is_flag=True, help="No progress.")(command)


def progress(quiet: bool) -> OnProgress:
    """A line on standard error, where that is a terminal."""
    return say_nothing if quiet else terminal_progress()


def echo_json(data: object) -> None:
    click.echo(json.dumps(data, indent=1, allow_nan=False))
