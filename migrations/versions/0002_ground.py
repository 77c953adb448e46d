"""Why: organisations log in, asking twice is answered once, units reach the broker, and no message is lost unseen."""

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, LargeBinary, String, UniqueConstraint

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# On SQLite only an INTEGER can be the row id itself; it has 64 bits there.
BIG = BigInteger().with_variant(Integer(), "sqlite")


def upgrade() -> None:
    _identity()
    _broker()
    _quarantine()
    _parking()


def downgrade() -> None:
    for table in (
        *("message_counts", "receipts_sent", "parked", "quarantine"),
        *("broker_accounts", "answers", "revoked_tokens", "oauth_clients"),
    ):
        op.drop_table(table)


def _identity() -> None:
    op.create_table(
        "oauth_clients",
        Column("client_id", String(64), primary_key=True),
        Column("secret_hash", LargeBinary, nullable=False),
        Column("scopes", String, nullable=False),
        Column("retailer_id", String(15)),
    )
    op.create_table(
        "revoked_tokens",
        Column("token_id", String(64), primary_key=True),
        Column("expires_s", BigInteger, nullable=False),
    )
    op.create_index("ix_revoked_tokens_expires_s", "revoked_tokens", ["expires_s"])
    op.create_table(
        "answers",
        Column("id", LargeBinary, primary_key=True),
        Column("digest", LargeBinary, nullable=False),
        Column("status", Integer, nullable=False),
        Column("body", String, nullable=False),
        Column("at_s", BigInteger, nullable=False),
    )
    op.create_index("ix_answers_at_s", "answers", ["at_s"])


def _broker() -> None:
    op.create_table(
        "broker_accounts",
        Column("username", String(64), primary_key=True),
        Column("password_hash", String(128), nullable=False),
    )


def _quarantine() -> None:
    op.create_table(
        "quarantine",
        Column("id", BIG, primary_key=True),
        Column("device_id", String(64), nullable=False),
        Column("sha256", LargeBinary, nullable=False),
        Column("reason", String(32), nullable=False),
        Column("seq", BIG),
        Column("entry_index", BIG),
        Column("count", BIG, nullable=False),
        Column("first_seen_s", BIG, nullable=False),
        Column("last_seen_s", BIG, nullable=False),
        Column("raw", LargeBinary),
        Column("size_bytes", BIG, nullable=False),
        Column("state", String(16), nullable=False),
        Column("note", String, nullable=False),
        UniqueConstraint("device_id", "sha256", "reason", name="uq_quarantine_message"),
    )
    op.create_index("ix_quarantine_state", "quarantine", ["state", "id"])


def _parking() -> None:
    op.create_table(
        "parked",
        Column("device_id", String(64), primary_key=True),
        Column("seq", BIG, primary_key=True, autoincrement=False),
        Column("sha256", LargeBinary, nullable=False),
        Column("message", LargeBinary, nullable=False),
        Column("due_s", BIG),
        Column("parked_s", BIG, nullable=False),
    )
    op.create_index("ix_parked_due", "parked", ["due_s"])
    op.create_table(
        "receipts_sent",
        Column("device_id", String(64), primary_key=True),
        Column("seq", BIG, nullable=False),
    )
    op.create_table(
        "message_counts",
        Column("outcome", String(32), primary_key=True),
        Column("n", BIG, nullable=False),
    )
