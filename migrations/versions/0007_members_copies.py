"""Why: what goes to members is signed for, what they co-sign is published, and a member never signs two histories."""

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, LargeBinary, String

revision = "0007_members_copies"
down_revision = "0006_lease"
branch_labels = None
depends_on = None

BIG = BigInteger().with_variant(Integer(), "sqlite")


def _big(name: str, *, primary_key: bool = False, nullable: bool = False) -> Column[int]:
    return Column(name, BIG, primary_key=primary_key, nullable=nullable, autoincrement=False)


def upgrade() -> None:
    op.create_table(
        "deliveries",
        Column("member_id", String, primary_key=True, nullable=False),
        _big("number", primary_key=True),
        _big("first"),
        _big("after"),
        Column("sha256", LargeBinary, nullable=False),
        _big("at_s"),
        Column("receipt", LargeBinary, nullable=True),
    )
    op.create_table(
        "cosignatures",
        _big("size", primary_key=True),
        Column("member_id", String, primary_key=True, nullable=False),
        Column("line", String, nullable=False),
        _big("time_s"),
    )
    op.create_table(
        "cosigned",
        Column("origin", String, primary_key=True, nullable=False),
        _big("size"),
        Column("root", LargeBinary, nullable=False),
        Column("note", LargeBinary, nullable=False),
    )
    op.create_table(
        "disagreements",
        _big("number", primary_key=True),
        _big("index"),
        Column("source", String, nullable=False),
        Column("what", String, nullable=False),
        Column("ours", String, nullable=False),
        Column("theirs", String, nullable=False),
        _big("seen_s"),
        _big("decided_s", nullable=True),
    )


def downgrade() -> None:
    for table in ("disagreements", "cosigned", "cosignatures", "deliveries"):
        op.drop_table(table)
