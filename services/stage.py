"""What the `sparks` command shows: progress bars on standard error, summaries on standard output.

Owns the presentation of the replay, a verification and a serving process. Computes nothing that it shows.
"""

import json
import logging
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from services import backups
from services.clock import SimulatedClock, SystemClock
from services.embedded import Platform, UnusableSettings, listen, served
from services.faces import Service
from services.member.program import parts, status
from services.moments import rfc3339
from services.observability import configure_logging
from services.rehearsal import Rehearsal
from services.settings import Settings
from services.upkeep import archive, simulate, verify

PROBE_BYTES: Final = 1_000_000
"""A disk that does not take so many is full: SQLite writes a batch of entries in fewer."""
FINDINGS_SHOWN_MAX: Final = 20
"""One changed entry is found again in every checkpoint after it."""
WIDE: Final = 140
"""Columns of a table that nobody looks at on a terminal."""
IN_ONE_PROCESS: Final = {"database_url": None, "broker_url": None, "ledger_url": None}
"""The demo and a replay stand alone, whatever the settings say of a deployed platform."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayChoices:
    """What `sparks replay` was asked for; `first` and `last` are local days, both sent."""

    paths: list[Path]
    has_battery: bool
    level: str
    start: date | None
    first: date | None
    last: date | None
    export: Path | None


# The replay


def show_replay(settings: Settings, choices: ReplayChoices, *, as_json: bool) -> bool:
    """Replay files on a platform of its own in a temporary folder, print what became of them; is the ledger sound?"""
    from device_sim.measured import reading, rows
    from services import replay

    configure_logging(level=logging.ERROR)
    if choices.export:
        replay.check_export_path(choices.export)
    measured = reading.read(choices.paths, start=choices.start, has_battery=choices.has_battery)
    from_s = rows.local_midnight_s(choices.first) if choices.first else -(2**62)
    last = choices.last if choices.last != date.max else None  # no day comes after it
    to_s = rows.local_midnight_s(last + timedelta(days=1)) if last else 2**62
    measured = replay.between(measured, from_s=from_s, to_s=to_s)
    for unreadable in replay.unreadable_rows(measured):
        say(f"{unreadable.file}:{unreadable.line}: {unreadable.reason}")
    with _temporary_folder(settings.data_dir) as folder, bars() as show:
        chosen = settings.model_copy(update={"data_dir": folder, **IN_ONE_PROCESS, "http_port": 0, "mqtt_port": 0})
        clock = SimulatedClock(replay.first_moment_s(measured))
        with full_disk_named(folder), Rehearsal(chosen, clock) as platform:
            replayed = replay.replay(
                platform,
                measured,
                level=choices.level,
                folder=folder / "units",
                on_progress=show,
            )
    if choices.export:
        replayed.export(choices.export)
    summary = replayed.summary()
    _print_replay(summary, as_json)
    return bool(summary["ledger"]["verified"])


def _print_replay(summary: dict[str, Any], as_json: bool) -> None:
    table = Table(title="Replay")
    for column in ("home", "packs", "accepted", "refused", "unreadable", "pv", "load", "import", "export", "sparks"):
        table.add_column(column, justify="left" if column == "home" else "right")
    for home in summary["homes"]:
        refused = ", ".join(f"{reason} {n}" for reason, n in {**home["refused"], **home["quarantined"]}.items())
        kwh = [f"{home[flow] / 1_000:,.1f}" for flow in ("pv_wh", "load_wh", "import_wh", "export_wh")]
        sparks = in_sparks(sum(home["micro_sparks"].values()))
        counts = [str(home["packs"]), str(home["intervals"]), refused or "0", str(home["unreadable"])]
        table.add_row(home["home"], *counts, *kwh, sparks)
    console = Console(stderr=as_json, highlight=False)
    Console(stderr=as_json, highlight=False, width=None if console.is_terminal else WIDE).print(table)
    ledger = summary["ledger"]
    verified = "verified" if ledger["verified"] else "NOT VERIFIED"
    say(f"{ledger['size']} entries, root {ledger['root']}, {verified}")
    if as_json:
        sys.stdout.write(json.dumps(summary) + "\n")
        sys.stdout.flush()


# Serving and verifying


def serve(settings: Settings, service: str) -> None:
    """Run one service, or all, until Ctrl-C or SIGTERM. Raises UnusableSettings for a simulated clock."""
    if settings.clock == "simulated":
        raise UnusableSettings("SPARKS_CLOCK=simulated: only the demo and a replay may run a simulated clock")
    if service == "member":
        serve_member(settings)
        return
    configure_logging()
    services = frozenset(Service) if service == "all" else frozenset({Service.named(service)})
    with Platform(settings, SystemClock(), services=services) as platform:
        say(f"{service} on {platform.base_url}")
        wait_for_the_end()


def serve_member(settings: Settings) -> None:
    """Run a member's node until Ctrl-C or SIGTERM."""
    configure_logging()
    with (
        listen(settings.http_host, settings.http_port, "SPARKS_HTTP_PORT") as listening,
        parts(settings, SystemClock()) as member,
        served(member.app, listening),
    ):
        say(f"member {settings.member_id} on http://{settings.http_host}:{listening.getsockname()[1]}")
        wait_for_the_end()


def show_member(settings: Settings, *, as_json: bool) -> bool:
    """Print how far a member's copy is and what disagreed; return whether nothing did."""
    found = status(settings)
    behind = "the operator does not answer" if found["behind"] is None else f"{found['behind']} behind"
    disagreements: Any = found["disagreements"]
    words: Any = found["collections"]
    if words is None:
        say(f"{found['size']} entries executed, {behind}; {found['cosigned_size']} co-signed")
    else:
        executed = f"given: {found['executed']} entries of {' '.join(words)} executed, {found['outside']} outside"
        say(f"{executed}; {behind}; {found['cosigned_size']} co-signed")
    for one in disagreements:
        say(f"entry {one['index']}: {one['what']}: {one['ours']} here, {one['theirs']} at {one['source']}")
    if as_json:
        sys.stdout.write(json.dumps(found) + "\n")
    return not disagreements


def show_verification(settings: Settings, *, as_json: bool) -> bool:
    """Verify the ledger of these settings; print what was found, and return whether all is well."""
    with bars() as show:
        report = verify(settings, lambda done, total: show("re-executing", done, total))
    findings = report["findings"]
    for finding in findings[:FINDINGS_SHOWN_MAX]:
        say(f"entry {finding['index']}: {finding['table']}: {finding['what']}")
    if len(findings) > FINDINGS_SHOWN_MAX:
        say(f"and {len(findings) - FINDINGS_SHOWN_MAX} more: --json has them all")
    say(f"{report['size']} entries, root {report['root']}: {'verified' if report['verified'] else 'DIFFERS'}")
    if report["outside"]:
        say(f"{report['outside']} of them are not given to this copy: their public bytes and the tree were compared")
    if report["unsigned"]:
        say(f"{report['unsigned']} of them lie above the newest checkpoint here: this copy is catching up")
    if report["taken_as_committed"]:
        say(f"{report['taken_as_committed']} of them taken as committed: erased, or reading what an erased one wrote")
    if as_json:
        sys.stdout.write(json.dumps(report) + "\n")
    return bool(report["verified"])


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationChoices:
    """What `sparks contract simulate` was asked for; without `params`, this program's own contracts are tried."""

    params: Path | None
    first: date
    last: date
    plots: Path | None
    result: Path | None


def show_simulation(settings: Settings, choices: SimulationChoices, *, as_json: bool) -> None:
    """Try other contracts on the ledger of these settings, and print what would change for whom."""
    from services.simulation import Span, plots

    if choices.plots:
        plots.require()
    parameters = choices.params.read_bytes() if choices.params else None
    span = Span(choices.first, choices.last)
    with bars() as show:
        simulated = simulate(settings, span, lambda done, total: show("executing", done, total), parameters=parameters)
    document = simulated.document()
    _print_simulation(document, as_json)
    if choices.result:
        choices.result.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    for path in plots.draw(simulated, choices.plots) if choices.plots else ():
        say(f"{path}")
    if as_json:
        sys.stdout.write(json.dumps(document) + "\n")
        sys.stdout.flush()


def _print_simulation(document: dict[str, Any], as_json: bool) -> None:
    console = Console(stderr=as_json, highlight=False, soft_wrap=True)
    present, proposed = document["cost"]["present"], document["cost"]["proposed"]
    cost = Table(title=f"Cost, {document['days']['first']} to {document['days']['last']}", title_justify="left")
    for column in ("", "present", "proposed", "change"):
        cost.add_column(column, justify="left" if not column else "right")
    for rule, before in present["micro_sparks_by_rule"].items():
        _add_change(cost, rule, before, proposed["micro_sparks_by_rule"].get(rule, 0))
    for name in ("minted", "deferred"):
        _add_change(cost, name, present[f"{name}_micro_sparks"], proposed[f"{name}_micro_sparks"])
    _add_change(cost, "minted, CAD", present["minted_micro_cad"], proposed["minted_micro_cad"], unit="")
    console.print(cost)
    homes = Table(title="Homes: who gains, who loses", title_justify="left")
    for column in ("", "homes", "gain", "lose", "same", "gained", "lost"):
        homes.add_column(column, justify="left" if not column else "right")
    groups = {"all": document["homes"]}
    for kind in ("by_level", "by_zone", "by_home_type"):
        groups |= {
            f"{kind.removeprefix('by_').replace('_', ' ')}: {name}": said for name, said in document[kind].items()
        }
    for name, said in groups.items():
        counts = [f"{said[count]:,}" for count in ("homes", "gain", "lose", "same")]
        homes.add_row(name, *counts, in_sparks(said["gained_micro_sparks"]), in_sparks(said["lost_micro_sparks"]))
    console.print(homes)
    spread = document["change_micro_sparks_by_percentile"]
    console.print(two_columns("Change of a home, by percentile", [(name, in_sparks(n)) for name, n in spread.items()]))
    console.print(f"contract set {document['contracts']['proposed']}\nresult {document['result_sha256']}")


def _add_change(table: Table, name: str, before: int, after: int, *, unit: str = " sparks") -> None:
    shown = [in_sparks(n).removesuffix(" sparks") + unit for n in (before, after, after - before)]
    table.add_row(name.replace("_", " "), *shown)


def show_backup(settings: Settings, path: Path, keys: Path | None, *, as_json: bool) -> None:
    """Back up the ledger of these settings; print what the backup is of, and until when it may be kept."""
    with bars() as show:
        said = backups.back_up(settings, path, keys, show, now_s=SystemClock().now_s())
    say(f"{said['file']}: {said['origin']}, {said['size']} entries, root {said['root']}")
    say(f"to be gone by {said['expires_at']} (SPARKS_BACKUP_DAYS); `sparks ledger prune FOLDER` sees to it")
    if as_json:
        sys.stdout.write(json.dumps(said) + "\n")


def show_archive(settings: Settings, older_than_days: int | None, *, as_json: bool) -> None:
    """Move old payloads to segment files; print what was moved and what it takes now."""
    with bars() as show:
        moved = archive(settings, older_than_days, show)
    if moved.segments:
        say(f"{moved.entries} payloads moved to {moved.segments} segments: {moved.bytes_in} -> {moved.bytes_out} bytes")
    else:
        say("nothing to move: no further range of entries, as large as a segment, is all that old")
    if as_json:
        sys.stdout.write(json.dumps(asdict(moved)) + "\n")


def show_pruning(settings: Settings, folder: Path, *, as_json: bool) -> None:
    """Remove the backups whose date has passed; print which, and what is left."""
    pruned = backups.prune(settings, folder, now_s=SystemClock().now_s())
    for path in pruned.removed:
        say(f"removed {path}")
    for path, expires_at_s in pruned.kept:
        say(f"kept    {path}, until {rfc3339(expires_at_s)}")
    if not pruned.kept:
        say(f"there is no backup left in {folder}")
    if as_json:
        kept = [{"file": str(path), "expires_at": rfc3339(expires_at_s)} for path, expires_at_s in pruned.kept]
        sys.stdout.write(json.dumps({"removed": [str(path) for path in pruned.removed], "kept": kept}) + "\n")


def show_restore(settings: Settings, path: Path, published: list[str], *, accept_expired: bool, as_json: bool) -> None:
    """Restore a ledger into the empty database of these settings; print what is there now."""
    now_s = SystemClock().now_s()
    with bars() as show:
        said = backups.restore(settings, path, published, show, now_s=now_s, accept_expired=accept_expired)
    say(f"{said['origin']}, {said['size']} entries, root {said['root']}: restored and verified")
    if as_json:
        sys.stdout.write(json.dumps(said) + "\n")


# How things look


@contextmanager
def full_disk_named(folder: Path) -> Iterator[None]:
    """Have a failure for want of space say so: a caller over HTTP, for one, is told only that it failed.

    Raises OSError instead of what happened if `folder` takes no more.
    """
    try:
        yield
    except Exception:
        if folder.exists():
            with tempfile.TemporaryFile(dir=folder) as file:
                file.write(bytes(PROBE_BYTES))
        raise


@contextmanager
def bars() -> Iterator[Callable[[str, int, int], None]]:
    """Progress bars on standard error, one for each thing that is going on."""
    columns = (TextColumn("{task.description:<24}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    tasks: dict[str, Any] = {}
    progress = Progress(*columns, console=Console(stderr=True))

    def show(what: str, done: int, total: int) -> None:
        progress.start()  # not before there is a bar: what fails at once is one line
        if what not in tasks:
            tasks[what] = progress.add_task(what, total=total)
        progress.update(tasks[what], completed=done, total=total)

    try:
        yield show
    finally:
        progress.stop()


@contextmanager
def _temporary_folder(data_dir: Path) -> Iterator[Path]:
    data_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="replay-", dir=data_dir, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def wait_for_the_end() -> None:
    """Until SIGTERM; Ctrl-C ends it as KeyboardInterrupt."""
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    ended.wait()


def two_columns(title: str, rows: list[tuple[str, str]]) -> Table:
    """A table of names and what is said of each."""
    table = Table(title=title, show_header=False, title_justify="left", min_width=60)
    table.add_column(min_width=28)
    table.add_column(justify="right")
    for name, value in rows:
        table.add_row(name, value)
    return table


def in_sparks(micro_sparks: int) -> str:
    """An amount for people, cut to hundredths."""
    whole, rest = divmod(abs(micro_sparks), 1_000_000)
    return f"{'-' if micro_sparks < 0 else ''}{whole:,}.{rest // 10_000:02d} sparks"


def say(line: str) -> None:
    """A line on standard error."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
