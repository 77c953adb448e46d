"""Why: whoever leaves is told what became of them, and each copy of the ledger says that it has erased them."""

from alembic import op
from sqlalchemy import BigInteger, Column, LargeBinary, String, UniqueConstraint

revision = "0010_departures"
down_revision = "0009_erasures"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "departures",
        Column("erasure_id", String, primary_key=True),
        Column("customer_id", String, nullable=False),
        Column("transfer_to", String, nullable=True),
        Column("asked_s", BigInteger, nullable=False),
        Column("statement", String, nullable=True),
        Column("entry_index", BigInteger, nullable=True),
        Column("done_s", BigInteger, nullable=True),
        UniqueConstraint("customer_id", name="uq_departures_customer_id"),
    )
    op.create_index("ix_departures_entry_index", "departures", ["entry_index"])
    op.create_table(
        "erasure_receipts",
        Column("entry_index", BigInteger, primary_key=True, autoincrement=False),
        Column("who", String(64), primary_key=True),
        Column("receipt", LargeBinary, nullable=False),
        Column("signature", LargeBinary, nullable=False),
        Column("received_s", BigInteger, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("erasure_receipts")
    op.drop_table("departures")
