"""Why: a copy of some collections knows which these are, and erases what it is told to without seeing whose it was."""

import sqlalchemy
from alembic import op
from sqlalchemy import BigInteger, CheckConstraint, Column, Integer, LargeBinary

revision = "0013_given_copies"
down_revision = "0012_rows_read"
branch_labels = None
depends_on = None

BIG = BigInteger().with_variant(Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "given",
        Column("id", Integer, primary_key=True, autoincrement=False),
        Column("collections", sqlalchemy.String, nullable=False),
        Column("executed", BIG, nullable=False),
        CheckConstraint("id = 1", name="ck_given_one_row"),
    )
    op.create_table(
        "erasure_notices",
        Column("index", BIG, primary_key=True, autoincrement=False),
        Column("customer_hash", LargeBinary, nullable=False),
        Column("erased", LargeBinary, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("erasure_notices")
    op.drop_table("given")
