"""On PostgreSQL the payloads of an older version become one part of the divided table, and one table again."""

from alembic import command
from sqlalchemy import insert, inspect, select

from services import database
from services.ledger.tables import PAYLOADS

ROWS = [
    {
        "index": index,
        "request": b"r%d" % index,
        "request_salt": b"",
        "effects": b"e",
        "effects_salt": b"",
        "result": b"",
    }
    for index in (0, 1, 77)
]


def move(url: str, version: str, *, up: bool) -> None:
    with database._migrating(url) as (_, config):
        (command.upgrade if up else command.downgrade)(config, version)


def test_what_was_there_is_there_after_each_step(database_url):
    move(database_url, "0015_segments", up=True)
    engine = database.engine(database_url)

    def stored() -> list[dict[str, object]]:
        with engine.connect() as connection:
            found = connection.execute(select(PAYLOADS).order_by(PAYLOADS.c.index)).mappings()
            return [dict(row) for row in found]

    with engine.begin() as connection:
        connection.execute(insert(PAYLOADS), ROWS)
    for up, version in ((True, "heads"), (False, "0015_segments"), (True, "heads")):
        move(database_url, version, up=up)
        assert stored() == ROWS
        assert inspect(engine).get_pk_constraint("payloads")["constrained_columns"] == ["index"]

    far = {**ROWS[0], "index": 1 << 50}
    with engine.begin() as connection:
        connection.execute(insert(PAYLOADS), far)
    assert stored() == [*ROWS, far]
    engine.dispose()
