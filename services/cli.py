"""The `sparks` command: parses, calls, prints. Decides nothing.

Progress goes to standard error; with `--json` the last line of standard output is one JSON object. What an operator
can mend is one line on standard error and an exit code that is not 0.
"""

import gc
import json
import os
import signal
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from services.bench_commands import bench_app
from services.contract_commands import contract_app
from services.member_commands import member_app
from services.reporting import Json, reported
from services.statement_commands import statement_app

# Rows by the ten thousand are kept in memory and hold no cycles; Python's 700 would look through them again and again.
COLLECT_AFTER = (100_000, 50, 100)
# A thread that commits or sends needs Python for moments; after 5 ms each, it would mostly wait for one that computes.
GIVE_WAY_AFTER_S = 0.000_3

app = typer.Typer(
    name="sparks",
    help="Green rewards: signed watt-hours become sparks on a ledger that every member can check, and pay at a till.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
ledger_app = typer.Typer(
    help="The ledger: verify it, back it up, restore it, move its old payloads out.", no_args_is_help=True
)
receipt_app = typer.Typer(help="Receipts: check one without this platform.", no_args_is_help=True)
app.add_typer(ledger_app, name="ledger")
app.add_typer(contract_app, name="contract")
app.add_typer(receipt_app, name="receipt")
app.add_typer(statement_app, name="statement")
app.add_typer(member_app, name="member")
app.add_typer(bench_app, name="bench")


def main() -> None:
    """Entry point of the `sparks` command: Ctrl-C and SIGTERM end it in good order, with 128 + the signal's number.

    Nobody else on the machine reads what it writes.
    """
    os.umask(0o077)
    gc.set_threshold(*COLLECT_AFTER)
    sys.setswitchinterval(GIVE_WAY_AFTER_S)
    # A shell without job control starts what it puts in the background deaf to Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _terminate)
    app()


def _terminate(*_: object) -> None:
    sys.exit(128 + signal.SIGTERM)


# The main job


@app.command()
@reported
def demo(  # noqa: PLR0917 (each is an option of the command)
    homes: Annotated[int, typer.Option(min=1, max=500, help="Homes with solar and storage.")] = 25,
    days: Annotated[int, typer.Option(min=1, max=31, help="Simulated summer days.")] = 1,
    speed: Annotated[
        float | None, typer.Option(min=1, help="Simulated seconds a second; as fast as it goes unless given.")
    ] = None,
    members: Annotated[
        int, typer.Option(min=0, max=4, help="Organisations that keep a copy, execute again what they see and co-sign.")
    ] = 4,
    once: Annotated[bool, typer.Option("--once", help="End with the summary instead of serving on.")] = False,
    as_json: Json = False,
) -> None:
    """Live through a simulated summer day, embedded: fleet, checks, ledger, sparks, a purchase, members' copies.

    Then serves on (API docs at /docs) until Ctrl-C, unless --once. The data lie in `demo` below SPARKS_DATA_DIR, each
    member's in `demo/members`; what an earlier demo left there is kept as `demo.previous`.
    """
    from services.demo_stage import DemoChoices, show_demo
    from services.settings import load

    choices = DemoChoices(homes=homes, days=days, members=members, pace=speed, once=once)
    if not show_demo(load(), choices, as_json=as_json):
        raise typer.Exit(1)


@app.command()
@reported
def replay(  # noqa: PLR0917 (each is an option of the command)
    paths: Annotated[list[Path], typer.Argument(help="Flows files, or folders of households.")],
    no_battery: Annotated[bool, typer.Option("--no-battery", help="Households without their battery.")] = False,
    level: Annotated[str, typer.Option(help="The homes' participation level.")] = "saver",
    start: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="First day of a households folder.")
    ] = None,
    from_: Annotated[
        datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="First local day to send.")
    ] = None,
    to: Annotated[datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="Last local day to send.")] = None,
    export: Annotated[Path | None, typer.Option(help="Write what was accepted to this flows file.")] = None,
    as_json: Json = False,
) -> None:
    """Drive measured homes through the whole embedded platform as signed packs, on a clock that follows the data.

    Reads flows files (CSV: home,start,interval_s,pv_wh,load_wh,charge_wh,discharge_wh,import_wh,export_wh[,soc_pct])
    and households folders (Building_*.csv with homes.csv). A row that cannot be read is counted and named.
    """
    from contracts import programmes
    from services.settings import load
    from services.stage import ReplayChoices, show_replay

    levels = programmes.load().levels_bp
    if level not in levels:
        raise typer.BadParameter(f"a level is one of {', '.join(levels)}", param_hint="--level")
    choices = ReplayChoices(
        paths=paths,
        has_battery=not no_battery,
        level=level,
        start=start.date() if start else None,
        first=from_.date() if from_ else None,
        last=to.date() if to else None,
        export=export,
    )
    if not show_replay(load(), choices, as_json=as_json):
        raise typer.Exit(1)


@app.command()
@reported
def serve(
    service: Annotated[str, typer.Argument(help="all, ledger, ingestion, customers, gateway, operations or member.")],
    accept_clock: Annotated[
        bool, typer.Option("--accept-clock", help="The last entry is more than a day old, and the clock is right.")
    ] = False,
) -> None:
    """Run one service, or all of them in one process, until Ctrl-C or SIGTERM. Settings: SPARKS_* and .env."""
    from services.settings import load
    from services.stage import serve as serve_service

    chosen = load()
    if accept_clock:
        chosen = chosen.model_copy(update={"accept_clock": True})
    serve_service(chosen, service)


@app.command("broker-accounts")
@reported
def broker_accounts(
    path: Annotated[Path, typer.Argument(help="Mosquitto's dynamic-security file.")],
) -> None:
    """Begin Mosquitto's accounts: its administrator and the platform. A file that is there is left as it is."""
    from services.settings import load
    from services.upkeep import first_broker_accounts

    first_broker_accounts(load(), path)
    typer.echo(f"{path}: the broker knows its administrator and the platform", err=True)


# The ledger and its contracts


@ledger_app.command("verify")
@reported
def verify_ledger(as_json: Json = False) -> None:
    """Execute everything again from entry 0 and compare every byte: hashes, effects, balances, funded reserve.

    Exit code 1, and the index of each entry, where anything differs.
    """
    from services.settings import load
    from services.stage import show_verification

    if not show_verification(load(), as_json=as_json):
        raise typer.Exit(1)


@member_app.command("status")
@reported
def member_status(as_json: Json = False) -> None:
    """How far this member's copy is, how far behind, and what disagreed; exit code 1 on a disagreement."""
    from services.settings import load
    from services.stage import show_member

    if not show_member(load(), as_json=as_json):
        raise typer.Exit(1)


@member_app.command("decide")
@reported
def member_decide() -> None:
    """A person has looked at what disagrees: the node tries again, and refuses again if it still does."""
    from services.clock import SystemClock
    from services.member.program import decide
    from services.settings import load

    typer.echo(f"{decide(load(), SystemClock())} disagreements decided: the node tries again", err=True)


@contract_app.command("simulate")
@reported
def simulate_contracts(  # noqa: PLR0917 (each is an option of the command)
    from_: Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="First local day.")],
    to: Annotated[datetime, typer.Option("--to", formats=["%Y-%m-%d"], help="Last local day.")],
    params: Annotated[Path | None, typer.Option(help="A TOML file: the active code under these parameters.")] = None,
    code: Annotated[bool, typer.Option("--code", help="This program's own contracts instead.")] = False,
    plots: Annotated[Path | None, typer.Option(help="Draw the result as PNG and SVG into this folder.")] = None,
    result: Annotated[Path | None, typer.Option(help="Write the result to this file, to propose it with.")] = None,
    as_json: Json = False,
) -> None:
    """Try other contracts on the ledger's history: what they cost, who gains, who loses. Writes nothing to the ledger.

    The same ledger, contracts and days give the same result and hash anywhere; members approve that hash too.
    """
    from services.settings import load
    from services.stage import SimulationChoices, show_simulation

    if code == (params is not None):
        raise typer.BadParameter("say what to try: either --params or --code", param_hint="--params")
    choices = SimulationChoices(params=params, first=from_.date(), last=to.date(), plots=plots, result=result)
    show_simulation(load(), choices, as_json=as_json)


@ledger_app.command("backup")
@reported
def back_up_ledger(
    file: Annotated[Path, typer.Argument(help="The new file, or a folder, in which it is named by its moment.")],
    with_keys: Annotated[
        Path | None, typer.Option("--with-keys", help="Write the key files, which are secrets, to this new tar file.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Back up the database while the platform runs: one moment of it, for either engine, with a manifest.

    The file appears when it is whole, and only its owner may read it: it holds what is private. It states by when it
    is to be gone (SPARKS_BACKUP_DAYS from now), because a person may be erased after it; `prune` removes it then.

      0 3 * * *  sparks ledger backup /var/backups/sparks && sparks ledger prune /var/backups/sparks
    """
    from services.settings import load
    from services.stage import show_backup

    show_backup(load(), file, with_keys, as_json=as_json)


@ledger_app.command("archive")
@reported
def archive_ledger(
    older_than_days: Annotated[
        int | None, typer.Option(min=1, max=36_500, help="SPARKS_ARCHIVE_DAYS unless given.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Move old payloads to compressed segment files beside the database, where they stay readable and provable.

    The platform may run. Cut off at any moment, nothing is lost; the next run goes on.
    """
    from services.settings import load
    from services.stage import show_archive

    show_archive(load(), older_than_days, as_json=as_json)


@ledger_app.command("restore")
@reported
def restore_ledger(
    file: Annotated[Path, typer.Argument(help="A backup.")],
    checkpoint: Annotated[
        list[str] | None,
        typer.Option(help="A checkpoint of this log that was published: a file, or a URL ending in /log/checkpoint."),
    ] = None,
    accept_expired: Annotated[
        bool, typer.Option("--accept-expired", help="Its date has passed, and there is nothing better.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Restore a backup into an empty database, execute everything again, and prove that it is the same log.

    The keys must be back already. If anything disagrees, or more was published than the backup has, nothing stays. With
    the settings of a member's node it restores that copy, which then follows on from there.
    """
    from services.settings import load
    from services.stage import show_restore

    show_restore(load(), file, checkpoint or [], accept_expired=accept_expired, as_json=as_json)


@ledger_app.command("prune")
@reported
def prune_backups(
    folder: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Where backups are kept.")],
    as_json: Json = False,
) -> None:
    """Remove the backups in a folder whose stated date has passed; every other file stays."""
    from services.settings import load
    from services.stage import show_pruning

    show_pruning(load(), folder, as_json=as_json)


@contract_app.command("check")
@reported
def check_contracts(
    vectors: Annotated[Path, typer.Argument(help="A JSON file in the format of tests/vectors/.")],
    as_json: Json = False,
) -> None:
    """Run vectors of another implementation against the contracts; exit code 1 on any difference."""
    from contracts import programmes
    from contracts.check import NoVectors, check

    try:
        document = json.loads(vectors.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise NoVectors(f"{vectors} is not JSON: {error}") from None
    tally = check(document, programmes.load())
    for line in tally.differences:
        typer.echo(line, err=as_json)
    differ = tally.steps - tally.agreed
    typer.echo(f"{tally.steps} steps, {tally.agreed} agree, {differ} differ", err=as_json)
    if as_json:
        result = {"steps": tally.steps, "agree": tally.agreed, "differ": differ, "differences": tally.differences}
        typer.echo(json.dumps(result))
    if differ:
        raise typer.Exit(1)


# What people keep


@receipt_app.command("verify")
@reported
def verify_receipt(
    file: Annotated[Path, typer.Argument(help="A receipt as `GET /v1/me/sparks/entries/{index}/receipt` gave it.")],
    keys: Annotated[
        Path | None, typer.Option(help="The keys to believe, as /log/keys serves them; else the document's own.")
    ] = None,
    contracts: Annotated[
        Path | None, typer.Option(help="Another contract set, as `sparks contract fetch` wrote it.")
    ] = None,
    contract_version: Annotated[
        str, typer.Option(help="The version of that set, hex: it is code, and runs here only if this is its hash.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Check a receipt offline, with public keys only: signatures, commitments, its place, the award to the integer.

    An award that was decided by other contracts than this program's is not computed again, unless you bring them.
    Other parameters of the same code are in the receipt. Exit code 1, and the first thing that does not hold, if
    anything does not.
    """
    from services.verifying import show_receipt

    if not show_receipt(file, keys, contracts, contract_version, as_json=as_json):
        raise typer.Exit(1)


if __name__ == "__main__":
    main()
