"""What is done to a platform that is not running: verify its ledger, know its schema, begin its broker's accounts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from services import database
from services.broker.mosquitto import UNIT_ACCESS, first_config
from services.embedded import login_of
from services.keys import Keys, Use
from services.ledger import verify as verification
from services.member.program import log_key_of
from services.settings import DATABASE_FILE, Settings


class NoLedger(Exception):
    """There is no ledger where the settings point."""


def verify(settings: Settings, on_progress: Callable[[int, int], None]) -> dict[str, Any]:
    """Verify the ledger of these settings without starting anything."""
    if settings.database_url is None and not (settings.data_dir / DATABASE_FILE).exists():
        raise NoLedger(f"there is no ledger in {settings.data_dir}; SPARKS_DATA_DIR says where it is")
    if not settings.keys_dir.exists():
        raise NoLedger(f"there are no keys in {settings.keys_dir}; SPARKS_DATA_DIR says where they are")
    database.require_current(settings.database)
    engine = database.engine(settings.database)
    # A member's copy is signed by the operator's key, which the member has by name.
    is_copy = bool(settings.member_log_key)
    public_key = log_key_of(settings).public_key if is_copy else Keys(settings.keys_dir).public_key(Use.LOG)
    try:
        report = verification.verify(engine, public_key, on_progress)
    finally:
        engine.dispose()
    findings = [{"index": found.index, "table": found.table, "what": found.what} for found in report.findings]
    return {"size": report.size, "root": report.root.hex(), "verified": report.ok, "findings": findings}


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
