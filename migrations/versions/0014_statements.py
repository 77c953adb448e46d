"""Why: each day's statement proves to everybody that what they are owed is counted; the proofs are kept here."""

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, LargeBinary, String

revision = "0014_statements"
down_revision = "0013_given_copies"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "statement_trees",
        Column("day", Integer, primary_key=True, autoincrement=False),
        Column("seed", LargeBinary, nullable=False),
        Column("began_s", BigInteger, nullable=False),
        Column("depth", Integer, nullable=True),
    )
    op.create_table(
        "statement_shares",
        Column("day", Integer, primary_key=True, autoincrement=False),
        Column("account", String, primary_key=True),
        Column("key", LargeBinary, nullable=False),
        Column("micro_sparks", BigInteger, nullable=False),
        Column("deferred_micro_sparks", BigInteger, nullable=False),
        Column("places", LargeBinary, nullable=False),
    )
    op.create_table(
        "statement_tiles",
        Column("day", Integer, primary_key=True, autoincrement=False),
        Column("level", Integer, primary_key=True, autoincrement=False),
        Column("n", BigInteger, primary_key=True, autoincrement=False),
        Column("nodes", LargeBinary, nullable=False),
    )


def downgrade() -> None:
    for table in ("statement_tiles", "statement_shares", "statement_trees"):
        op.drop_table(table)
