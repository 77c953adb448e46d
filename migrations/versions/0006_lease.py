"""Why: a standby takes the ledger over, and a writer that lost its lease can commit nothing more."""

from alembic import op
from sqlalchemy import BigInteger, CheckConstraint, Column, Integer, String

revision = "0006_lease"
down_revision = "0005_row_versions"
branch_labels = None
depends_on = None

BIG = BigInteger().with_variant(Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "lease",
        Column("id", Integer, primary_key=True, autoincrement=False),
        Column("epoch", BIG, nullable=False),
        Column("holder", String, nullable=False),
        Column("renewed_ms", BIG, nullable=False),
        CheckConstraint("id = 1", name="ck_lease_one_row"),
    )
    op.create_table(
        "epochs",
        Column("epoch", BIG, primary_key=True, autoincrement=False),
        Column("holder", String, nullable=False),
        Column("first_index", BIG, nullable=False),
        Column("taken_ms", BIG, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("epochs")
    op.drop_table("lease")
