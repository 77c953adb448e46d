"""What is done beside a platform's programs: verify, back up and restore its ledger, begin its broker's accounts."""

import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import Engine

from services import contract_sets, database, simulation
from services.broker.mosquitto import UNIT_ACCESS, first_config
from services.clock import SystemClock
from services.embedded import login_of
from services.faces import PROGRAMME
from services.keys import Keys, Use
from services.ledger import backup
from services.ledger import verify as verification
from services.ledger.archive import new_file
from services.ledger.backup import OnProgress
from services.ledger.client import LedgerUnavailable
from services.member.program import log_key_of
from services.settings import DATABASE_FILE, Settings
from services.simulation import Simulation, Span


class NoLedger(Exception):
    """There is no ledger where the settings point."""


def verify(settings: Settings, on_progress: Callable[[int, int], None]) -> dict[str, Any]:
    """Verify the ledger of these settings without starting anything."""
    engine = _engine_of(settings)
    try:
        if not settings.keys_dir.exists():
            raise NoLedger(f"there are no keys in {settings.keys_dir}; SPARKS_DATA_DIR says where they are")
        # A member's copy is signed by the operator's key, which the member has by name.
        is_copy = bool(settings.member_log_key)
        public_key = log_key_of(settings).public_key if is_copy else Keys(settings.keys_dir).public_key(Use.LOG)
        report = verification.verify(engine, public_key, on_progress)
    finally:
        engine.dispose()
    findings = [{"index": found.index, "table": found.table, "what": found.what} for found in report.findings]
    return {
        "size": report.size,
        "root": report.root.hex(),
        "verified": report.ok,
        "taken_as_committed": report.taken,
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
    engine = _engine_of(settings)
    try:
        return simulation.simulate(engine, span, on_progress, parameters=parameters, files=files)
    finally:
        engine.dispose()


def _engine_of(settings: Settings) -> Engine:
    """The database of a ledger that is there. Raises NoLedger, OtherSchema."""
    if settings.database_url is None and not (settings.data_dir / DATABASE_FILE).exists():
        raise NoLedger(f"there is no ledger in {settings.data_dir}; SPARKS_DATA_DIR says where it is")
    database.require_current(settings.database)
    return database.engine(settings.database)


def back_up(settings: Settings, path: Path, keys: Path | None, on_progress: OnProgress) -> dict[str, Any]:
    """Write a backup of the database to `path` and, if asked for, of the key files to `keys`; the platform may run."""
    engine = _engine_of(settings)
    try:
        manifest = backup.backup(engine, path, at_s=SystemClock().now_s(), on_progress=on_progress)
    finally:
        engine.dispose()
    if keys is not None:
        with new_file(keys) as file, tarfile.open(fileobj=file, mode="w") as archive:
            archive.add(settings.keys_dir, arcname=settings.keys_dir.name)
    return {"origin": manifest.origin, "size": manifest.size, "root": manifest.root}


def restore(settings: Settings, path: Path, published: Sequence[str], on_progress: OnProgress) -> dict[str, Any]:
    """Restore a backup into the empty database of these settings, whose keys must be there already."""
    if not (settings.keys_dir / f"{Use.LOG}.seed").exists():
        raise NoLedger(f"there is no {Use.LOG}.seed in {settings.keys_dir}; put the log's keys back first")
    manifest = backup.restore(
        settings.database,
        path,
        log_public_key=Keys(settings.keys_dir).public_key(Use.LOG),
        published=[_published(place) for place in published],
        on_progress=on_progress,
    )
    return {"origin": manifest.origin, "size": manifest.size, "root": manifest.root, "verified": True}


def _published(place: str) -> bytes:
    """The checkpoint at an HTTP URL, or in a file."""
    if not place.startswith(("http://", "https://")):
        return Path(place).read_bytes()
    try:
        return httpx.get(place, follow_redirects=True).raise_for_status().content
    except httpx.HTTPError as error:
        raise LedgerUnavailable(f"{place}: {error}") from error


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
