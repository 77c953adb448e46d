"""Done beside the programs: the ledger verified, other contracts tried on it, the first broker accounts made."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from contracts.units import DAY_S
from services import contract_sets, database, simulation
from services.broker.mosquitto import UNIT_ACCESS, first_config
from services.clock import SystemClock
from services.embedded import login_of
from services.faces import PROGRAMME
from services.keys import Keys, Use
from services.ledger import archiving
from services.ledger import verify as verification
from services.ledger.archiving import Moved
from services.ledger.backup import OnProgress
from services.member.program import log_key_of
from services.settings import DATABASE_FILE, BadSettings, Settings
from services.simulation import Simulation, Span


class NoLedger(Exception):
    """There is no ledger where the settings point."""


def verify(settings: Settings, on_progress: Callable[[int, int], None]) -> dict[str, Any]:
    """Verify the ledger of these settings without starting anything."""
    engine = engine_of(settings)
    try:
        if not settings.keys_dir.exists():
            raise NoLedger(f"there are no keys in {settings.keys_dir}; SPARKS_DATA_DIR says where they are")
        report = verification.verify(engine, log_public_key(settings), on_progress)
    finally:
        engine.dispose()
    findings = [{"index": found.index, "table": found.table, "what": found.what} for found in report.findings]
    return {
        "size": report.size,
        "root": report.root.hex(),
        "verified": report.ok,
        "taken_as_committed": report.taken,
        "outside": report.outside,
        "unsigned": report.unsigned,
        "findings": findings,
    }


def simulate(
    settings: Settings,
    span: Span,
    on_progress: Callable[[int, int], None],
    *,
    parameters: bytes | None,
) -> Simulation:
    """Try other parameters, or without any this program's own contracts, on the ledger of these settings."""
    files = None if parameters is not None else contract_sets.own_files(PROGRAMME)
    engine = engine_of(settings)
    try:
        return simulation.simulate(engine, span, on_progress, parameters=parameters, files=files)
    finally:
        engine.dispose()


def log_public_key(settings: Settings) -> bytes:
    """The key that signs the log: of a member's copy the operator's, which the member has by name."""
    is_copy = bool(settings.member_log_key)
    return log_key_of(settings).public_key if is_copy else Keys(settings.keys_dir).public_key(Use.LOG)


def engine_of(settings: Settings) -> Engine:
    """The database of a ledger that is there. Raises NoLedger, OtherSchema."""
    if settings.database_url is None and not (settings.data_dir / DATABASE_FILE).exists():
        raise NoLedger(f"there is no ledger in {settings.data_dir}; SPARKS_DATA_DIR says where it is")
    database.require_current(settings.database)
    return database.engine(settings.database, segments=settings.segments)


def archive(settings: Settings, older_than_days: int | None, on_progress: OnProgress) -> Moved:
    """Move payloads that are older than `older_than_days`, or than the settings say, to segment files."""
    days = older_than_days or settings.archive_days
    if days is None:
        raise BadSettings("say how old: --older-than-days, or SPARKS_ARCHIVE_DAYS")
    engine = engine_of(settings)
    try:
        now_s = SystemClock().now_s()
        return archiving.archive(
            engine,
            before_s=now_s - days * DAY_S,
            now_s=now_s,
            on_progress=lambda done, total: on_progress("segments", done, total),
        )
    finally:
        engine.dispose()


def require_same_schema(folder: Path) -> None:
    """Raise OtherSchema if the database in `folder` is of a version that this program does not know.

    Of other contracts it may be: the ledger carries its own.
    """
    path = folder / DATABASE_FILE
    url = f"sqlite:///{path}"
    # A start that was cut short leaves a file without a table, which no version made.
    if path.exists() and database.has_tables(url):
        database.require_current(url)


def first_broker_accounts(settings: Settings, path: Path) -> None:
    """Write the file with which Mosquitto's accounts begin, and beside it what a unit may say and hear."""
    keys = Keys(settings.keys_dir)
    first_config(path, admin=login_of(keys.broker_admin()), platform=login_of(keys.broker()))
    path.with_name("units.acl").write_text(UNIT_ACCESS, encoding="utf-8")
