"""`sparks statement`: parses, calls, prints. Decides nothing."""

import json
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from services.member_commands import URL, OperatorFile, Url, desk_of
from services.reporting import Json, reported

statement_app = typer.Typer(
    help="Daily statements: publish one, look at it, check it and one's own balance in it without this platform.",
    no_args_is_help=True,
)


@statement_app.command("publish")
@reported
def publish(
    date: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The local day that is just over: yesterday.")
    ] = None,
    url: Url = URL,
    operator: OperatorFile = None,
    as_json: Json = False,
) -> None:
    """Close the books of a day that is over and publish who is owed what they hold; asked again, the same.

    `sparks serve` does so by itself, unless SPARKS_STATEMENTS=false.
    """
    from services.statements.days import yesterday

    show(desk_of(url, operator).publish_statement(date.date() if date else yesterday()), as_json=as_json)


@statement_app.command("show")
@reported
def show_one(
    date: Annotated[datetime, typer.Argument(formats=["%Y-%m-%d"], help="The day.")],
    out: Annotated[Path | None, typer.Option(help="Write the statement to this file, to keep and to verify.")] = None,
    url: Url = URL,
    as_json: Json = False,
) -> None:
    """Show what was owed on a day and what funded it, as the platform tells it; `verify` checks it."""
    statement = desk_of(url, None).look(f"/v1/statements/{date:%Y-%m-%d}")
    if out is not None:
        out.write_text(json.dumps(statement, indent=2) + "\n", encoding="utf-8")
    show(statement, as_json=as_json)


@statement_app.command("verify")
@reported
def verify(
    file: Annotated[
        Path,
        typer.Argument(help="A statement, or the proof from `GET /v1/me/statements/{date}/proof`."),
    ],
    keys: Annotated[
        Path | None, typer.Option(help="The keys to believe, as /log/keys serves them; else the document's own.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check a statement offline, with public keys only, and of a proof that each leaf is counted in its total.

    Exit code 1, and the first thing that does not hold, if anything does not.
    """
    from services.verifying import show_statement

    if not show_statement(file, keys, as_json=as_json):
        raise typer.Exit(1)


def show(statement: dict[str, Any], *, as_json: bool) -> None:
    """Print a statement's figures, and with `--json` all of it."""
    from services.statements.document import lines_of

    for name, amount in lines_of(statement):
        typer.echo(f"{name:>28}  {amount}", err=as_json)
    if as_json:
        typer.echo(json.dumps(statement))
