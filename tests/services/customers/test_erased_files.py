"""What PostgreSQL's own files still have of somebody who has left, before and after a vacuum that rewrites the tables.

On SQLite nothing is left at once: `tests/story/test_privacy.py`.
"""

from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine

from contracts import state
from contracts.state import Holdings
from contracts.wire import signatures
from services.customers import people
from tests.services.customers.platform import Platform, Who, a_platform
from tests.story.test_privacy import found


def seeds_of(platform: Platform, who: Who) -> dict[str, bytes]:
    """What tells of a person: what they said of themselves, and what their unit signed."""
    person = people.by_id(platform.engine, who.id)
    (holdings,) = platform.ledger.rows([state.holdings_key(who.id)])
    assert person is not None and isinstance(holdings, Holdings)
    ((device_id, _, _),) = holdings.units
    messages = [pack.message for pack in platform.ledger.packs(device_id, from_s=0, to_s=1 << 40)]
    packs = {f"pack {number}": message[-signatures.SIGNATURE_LENGTH :] for number, message in enumerate(messages)}
    return {"email": person.email.encode()} | packs


def run(engine: Engine, *statements: str) -> Any:
    """What the last of these answers; none of them in a transaction."""
    outside = create_engine(engine.url, isolation_level="AUTOCOMMIT")
    try:
        with outside.connect() as connection:
            answers = [connection.exec_driver_sql(statement) for statement in statements]
            return answers[-1].scalar() if answers[-1].returns_rows else None
    finally:
        outside.dispose()


def files_of(engine: Engine) -> list[bytes]:
    """Every file of this database's tables and indexes, as the server has written them."""
    oid = run(engine, "CHECKPOINT", "SELECT oid FROM pg_database WHERE datname = current_database()")
    folder = Path(run(engine, "SHOW data_directory")) / "base" / str(oid)
    return [path.read_bytes() for path in sorted(folder.iterdir())]


def test_a_vacuum_that_rewrites_the_tables_leaves_nothing_of_who_has_left(postgres_url: str, tmp_path: Path):
    with a_platform(postgres_url, tmp_path) as platform:
        marie, other = platform.customer(name="marie-recognisable"), platform.customer(name="somebody-else")
        platform.earn(marie, 400)
        seeds, stays = seeds_of(platform, marie), {"other": b"somebody-else"}
        assert len(seeds) == 3
        assert found(seeds | stays, *files_of(platform.engine)) == {*seeds, "other"}

        assert marie.delete("/v1/me").json()["state"] == "erased"
        run(platform.engine, "VACUUM FULL")

        assert found(seeds | stays, *files_of(platform.engine)) == {"other"}
        assert other.get("/v1/me").status_code == 200
