"""How commands say what an operator can mend: one line on standard error and exit code 1."""

import functools
from collections.abc import Callable
from typing import Annotated, ParamSpec, TypeVar

import typer

P = ParamSpec("P")
R = TypeVar("R")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")]


def reported(command: Callable[P, R]) -> Callable[P, R]:
    """Turn what the operator can mend into one line and exit code 1."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except Exception as error:
            from services.plain_errors import in_one_line

            line = in_one_line(error)
            if line is None:
                raise
            typer.echo(f"sparks: {line}", err=True)
            raise typer.Exit(1) from None

    return run
