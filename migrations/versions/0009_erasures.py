"""Why: what the ledger says of a customer can be found and erased, and an erasure that was begun is finished."""

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, String

revision = "0009_erasures"
down_revision = "0008_proposals"
branch_labels = None
depends_on = None

BIG = BigInteger().with_variant(Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "subjects",
        Column("index", BIG, primary_key=True, autoincrement=False),
        Column("subject", String().with_variant(String(collation="C"), "postgresql"), primary_key=True),
    )
    op.create_index("ix_subjects_subject", "subjects", ["subject", "index"])
    op.create_table(
        "erasures",
        Column("index", BIG, primary_key=True, autoincrement=False),
        Column("erased_s", BIG, nullable=True),
    )


def downgrade() -> None:
    op.drop_table("erasures")
    op.drop_table("subjects")
