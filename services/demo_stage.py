"""What `sparks demo` shows: progress while it lives through its day, then what came of it, and what can be tried.

Owns the presentation of the demo. Computes nothing that it shows.
"""

import json
import logging
import os
import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from services import consortium, demo
from services.clock import SimulatedClock
from services.consortium import Consortium
from services.observability import configure_logging
from services.rehearsal import Rehearsal
from services.settings import Settings
from services.stage import IN_ONE_PROCESS, bars, full_disk_named, in_sparks, say, two_columns, wait_for_the_end
from services.upkeep import require_same_schema

DISK_BYTES_MIN: Final = 200_000_000
OUTCOMES: Final = {
    "accepted": "earned what it is worth",
    "refused": "on the ledger, for nothing",
    "quarantined": "set aside for people",
    "duplicate": "known already",
    "void": "declared lost by the unit",
    "waiting": "until its turn or time comes",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoChoices:
    """What `sparks demo` was asked for.

    members  organisations with a copy of their own
    pace     simulated seconds per real second, None: as fast as the machine can
    once     end with the summary
    """

    homes: int
    days: int
    members: int
    pace: float | None
    once: bool


def show_demo(settings: Settings, choices: DemoChoices, *, as_json: bool) -> bool:
    """Run the demo, print its summary, and serve on unless it is to be once; did all go as it should?"""
    folder = settings.data_dir / "demo"
    clock = SimulatedClock(demo.first_moment_s())
    chosen = settings.model_copy(update={"data_dir": folder, **IN_ONE_PROCESS})
    configure_logging(level=logging.ERROR)
    with (
        full_disk_named(folder),
        Rehearsal(chosen, clock, on_open=lambda: _make_room(folder)) as platform,
        _members_of(platform, choices.members) as members,
    ):
        with bars() as show:
            summary = demo.demo(
                platform,
                members,
                homes=choices.homes,
                days=choices.days,
                folder=folder / "units",
                pace=choices.pace,
                on_progress=show,
            )
        clock.run()
        _print_demo(summary, as_json)
        if not choices.once:
            _tell_what_to_try(platform, members)
            say(f"Serving on {platform.base_url} (API docs at {platform.base_url}/docs) until Ctrl-C.")
            wait_for_the_end()
    return bool(summary["ledger"]["verified"]) and "refund" in summary["purchase"] and summary["members"]["agree"]


def _members_of(platform: Rehearsal, number: int) -> AbstractContextManager[Consortium]:
    return consortium.running(
        consortium.ORGANISATIONS[:number],
        platform.settings,
        url=platform.base_url,
        log_key=platform.log_key(),
        operator=platform.keys.operator_file(),
    )


def _make_room(folder: Path) -> None:
    """Keep what an earlier demo left, as `demo.previous`; what another version left is not touched."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(folder.parent).free < DISK_BYTES_MIN:
        raise OSError(28, "no space", str(folder.parent))
    if folder.exists():
        require_same_schema(folder)
        previous = folder.with_suffix(".previous")
        if previous.exists():
            shutil.rmtree(previous)
        folder.rename(previous)


def _print_demo(summary: dict[str, Any], as_json: bool) -> None:
    console = Console(stderr=as_json, highlight=False)
    energy = summary["energy_wh"]
    console.print(two_columns("Packs: signed readings", list(_pack_lines(summary["packs"]))))
    kwh = [(name.removesuffix("_wh"), f"{wh / 1_000:,.1f} kWh") for name, wh in energy.items()]
    console.print(two_columns("Energy", kwh))
    sparks = [(rule, in_sparks(micro_sparks)) for rule, micro_sparks in summary["micro_sparks"].items()]
    total = sum(summary["micro_sparks"].values())
    console.print(two_columns("Sparks minted, by rule", [*sparks, ("total", in_sparks(total))]))
    console.print(
        two_columns("Carbon avoided (an estimate)", [("CO2e", f"{summary['avoided_mg_co2e'] / 1e6:,.1f} kg")])
    )
    console.print(two_columns("The day's statement", list(_statement_lines(summary["statements"][-1]))))
    console.print(two_columns("One purchase", list(_purchase_lines(summary["purchase"]))))
    ledger = summary["ledger"]
    is_verified = "verified" if ledger["verified"] else "NOT VERIFIED"
    console.print(two_columns("Ledger", [("entries", f"{ledger['size']:,}"), ("executed again", is_verified)]))
    console.print(f"root hash {ledger['root']}", soft_wrap=True)
    if summary["members"]["copies"]:
        console.print(two_columns("Members: each executes again what it sees", list(_member_lines(summary["members"]))))
    if as_json:
        sys.stdout.write(json.dumps(summary) + "\n")
    sys.stdout.flush()


def _pack_lines(packs: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What was sent, and what became of each message; the lines below `received` add up to it."""
    yield "sent by the homes", f"{packs['sent']:,}"
    yield "received (some were sent again)", f"{packs.get('received', 0):,}"
    for outcome, meaning in OUTCOMES.items():
        yield f"  {outcome}: {meaning}", f"{packs.get(outcome, 0):,}"
        for reason, n in packs.get(f"{outcome}_by_reason", {}).items():
            yield f"      {reason}", f"{n:,}"


def _statement_lines(statement: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "date", statement["date"]
    for name in ("issued", "outstanding", "settled", "fees", "deferred"):
        yield name, in_sparks(statement[f"{name}_micro_sparks"])
    yield "reserve", f"CAD {statement['reserve_micro_cad'] / 1e6:,.2f}"


def _purchase_lines(purchase: dict[str, Any]) -> Iterator[tuple[str, str]]:
    hold = purchase["hold"]
    if hold["status"] == "declined":
        yield "declined", hold["decline_reason"]
        return
    yield "balance before", in_sparks(purchase["before"]["balance_micro_sparks"])
    yield f"hold of ${hold['amount_cents'] / 100:.2f}", f"{in_sparks(hold['micro_sparks'])} ({hold['status']})"
    captured = purchase["capture"]
    yield "capture", f"{in_sparks(captured['micro_sparks'])} ({captured['status']})"
    refund = purchase["refund"]
    yield f"refund of ${refund['refunded_cents'] / 100:.2f}", f"{in_sparks(refund['refunded_micro_sparks'])} back"
    yield "balance after", in_sparks(purchase["after"]["balance_micro_sparks"])


def _member_lines(members: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """How far each member's copy is, and whether enough of them have co-signed."""
    size, finality = members["entries"], members["finality"]
    for copy in members["copies"]:
        yield f"{copy['name']} ({copy['role']})", _copy_line(copy, size)
    signed = f"{len(finality['cosigned_by'])} cosignatures, {finality['quorum']} needed"
    yield f"{finality['size']:,} entries are", f"{'final' if finality['final'] else 'NOT FINAL'}: {signed}"


def _copy_line(copy: dict[str, Any], size: int) -> str:
    if not copy["answers"]:
        return "DOES NOT ANSWER"
    given = " given" if copy["copy"] == "given" else ""
    executed = f"executed {copy['executed']:,}{given} of {size:,}"
    if copy["disagreements"]:
        return f"{executed}, REFUSES entry {copy['disagreements'][0]['index']:,}"
    return f"{executed}, agrees, {'co-signed' if copy['cosigned'] >= size else 'not co-signed yet'}"


def _tell_what_to_try(platform: Rehearsal, members: Consortium) -> None:
    """Commands for another terminal, to be copied as they are."""
    if not members.members:
        return
    sparks, folder = shlex.quote(os.path.abspath(sys.argv[0])), members.members[-1].settings.data_dir.resolve()
    say('Try, in another terminal (docs/operations.md, "Members in the demo", has tampering and a takeover):')
    say(f"  {sparks} member keys --url {platform.base_url}")
    say(f"  {sparks} statement show {demo.DAY} --out statement.json --url {platform.base_url}")
    say(f"  {sparks} statement verify statement.json")
    say(f"  cd {shlex.quote(str(folder))} && {sparks} member status")
    say(f"  cd {shlex.quote(str(folder))} && {sparks} ledger verify")
