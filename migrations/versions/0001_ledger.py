"""Why: the ledger keeps its entries, what they commit to and the state they leave behind."""

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, LargeBinary, String, text

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# On SQLite only an INTEGER can be the row id itself; it has 64 bits there.
BIG = BigInteger().with_variant(Integer(), "sqlite")
KEY = String().with_variant(String(collation="C"), "postgresql")
IS_DUE = text("due_s IS NOT NULL")


def upgrade() -> None:
    _log()
    _private()
    _answers()
    _derived()


def downgrade() -> None:
    for table in (
        *("packs", "state", "postings", "rejections", "requests", "payloads"),
        *("checkpoints", "tiles", "entries"),
    ):
        op.drop_table(table)


def _log() -> None:
    op.create_table(
        "entries",
        Column("index", BIG, primary_key=True, autoincrement=False),
        Column("at_s", BIG, nullable=False),
        Column("entry", LargeBinary, nullable=False),
    )
    op.create_index("ix_entries_at_s", "entries", ["at_s"])
    op.create_table(
        "tiles",
        Column("level", Integer, primary_key=True, autoincrement=False),
        Column("n", BIG, primary_key=True, autoincrement=False),
        Column("hashes", LargeBinary, nullable=False),
    )
    op.create_table(
        "checkpoints",
        Column("size", BIG, primary_key=True, autoincrement=False),
        Column("note", LargeBinary, nullable=False),
    )


def _private() -> None:
    op.create_table(
        "payloads",
        Column("index", BIG, primary_key=True, autoincrement=False),
        Column("request", LargeBinary, nullable=False),
        Column("request_salt", LargeBinary, nullable=False),
        Column("effects", LargeBinary, nullable=False),
        Column("effects_salt", LargeBinary, nullable=False),
        Column("result", LargeBinary, nullable=False),
    )


def _answers() -> None:
    op.create_table(
        "requests",
        Column("id", LargeBinary, primary_key=True),
        Column("digest", LargeBinary, nullable=False),
        Column("index", BIG, nullable=False),
    )
    op.create_table(
        "rejections",
        Column("id", LargeBinary, primary_key=True),
        Column("digest", LargeBinary, nullable=False),
        Column("reason", String, nullable=False),
        Column("facts", LargeBinary, nullable=False),
        Column("at_s", BIG, nullable=False),
        Column("size", BIG, nullable=False),
        Column("seal", LargeBinary, nullable=False),
    )
    op.create_index("ix_rejections_at_s", "rejections", ["at_s"])


def _derived() -> None:
    op.create_table(
        "postings",
        Column("index", BIG, primary_key=True, autoincrement=False),
        Column("leg", Integer, primary_key=True, autoincrement=False),
        Column("asset", String, nullable=False),
        Column("account", String, nullable=False),
        Column("amount", BIG, nullable=False),
    )
    op.create_index("ix_postings_account", "postings", ["account", "index"])
    op.create_table(
        "state",
        Column("key", KEY, primary_key=True),
        Column("version", BIG, nullable=False),
        Column("value", LargeBinary, nullable=False),
        Column("due_s", BIG),
        postgresql_with={"fillfactor": 80},  # room beside a row for its next version
    )
    op.create_index("ix_state_due_s", "state", ["due_s"], sqlite_where=IS_DUE, postgresql_where=IS_DUE)
    op.create_table(
        "packs",
        Column("device_id", String, primary_key=True),
        Column("seq", BIG, primary_key=True, autoincrement=False),
        Column("version", BIG, nullable=False),
        Column("sha256", LargeBinary, nullable=False),
        Column("refusal", String, nullable=False),
        Column("index", BIG, nullable=False),
        Column("start_s", BIG, nullable=False),
        Column("end_s", BIG, nullable=False),
        Column("again_at", BIG),
    )
    op.create_index("ix_packs_start", "packs", ["device_id", "start_s"])
