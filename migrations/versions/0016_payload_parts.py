"""Why: on PostgreSQL old payloads leave their table by dropping a part of it, which no vacuum has to look after."""

from alembic import op
from sqlalchemy import text

revision = "0016_payload_parts"
down_revision = "0015_segments"
branch_labels = None
depends_on = None

SCHEMA = "payload_parts"
ENTRIES = 1 << 20
COLUMNS = """
    "index" BIGINT NOT NULL, request BYTEA NOT NULL, request_salt BYTEA NOT NULL,
    effects BYTEA NOT NULL, effects_salt BYTEA NOT NULL, result BYTEA NOT NULL
"""


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        return
    op.execute(f"CREATE SCHEMA {SCHEMA}")
    op.execute(f"ALTER TABLE payloads SET SCHEMA {SCHEMA}")
    op.execute(f"ALTER TABLE {SCHEMA}.payloads RENAME TO before")
    op.execute(f"ALTER INDEX {SCHEMA}.payloads_pkey RENAME TO before_pkey")
    op.execute(
        f'CREATE TABLE payloads ({COLUMNS}, CONSTRAINT payloads_pkey PRIMARY KEY ("index"))'
        ' PARTITION BY RANGE ("index")'
    )
    last = op.get_bind().execute(text(f'SELECT max("index") FROM {SCHEMA}.before')).scalar()
    first = 0 if last is None else (last // ENTRIES + 1) * ENTRIES
    if last is None:
        op.execute(f"DROP TABLE {SCHEMA}.before")
    else:
        op.execute(f"ALTER TABLE payloads ATTACH PARTITION {SCHEMA}.before FOR VALUES FROM (MINVALUE) TO ({first})")
    op.execute(f"CREATE TABLE {SCHEMA}.rest PARTITION OF payloads DEFAULT")
    made = f"{SCHEMA}.from_{first}_{first + ENTRIES}"
    op.execute(f"CREATE TABLE {made} PARTITION OF payloads FOR VALUES FROM ({first}) TO ({first + ENTRIES})")


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        return
    ours = op.get_bind().execute(text("SELECT current_schema()")).scalar()
    op.execute(f"CREATE TABLE {SCHEMA}.whole ({COLUMNS})")
    op.execute(f"INSERT INTO {SCHEMA}.whole SELECT * FROM payloads")
    op.execute("DROP TABLE payloads")
    op.execute(f'ALTER TABLE {SCHEMA}.whole SET SCHEMA "{ours}"')
    op.execute("ALTER TABLE whole RENAME TO payloads")
    op.execute('ALTER TABLE payloads ADD CONSTRAINT payloads_pkey PRIMARY KEY ("index")')
    op.execute(f"DROP SCHEMA {SCHEMA} CASCADE")
