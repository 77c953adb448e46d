"""The tables of proposals. No program is imported here, so that migrations can read it alone."""

from sqlalchemy import BigInteger, Column, ForeignKey, LargeBinary, String
from sqlmodel import Field, SQLModel


class ProposalRow(SQLModel, table=True):
    """A governed command that waits for approvals, or what became of it.

    id          of the call that made it, in hex
    request     `contracts.commands.to_bytes` of the ledger's request, its command still without approvals
    outcome     empty while it is open, `carried`, or the reason why the ledger refuses it for good
    entry_index of the ledger's entry that carried it
    """

    __tablename__ = "proposals"
    id: str = Field(primary_key=True, max_length=64)
    kind: str = Field(max_length=64)
    request: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    proposed_by: str = Field(max_length=255)
    proposed_s: int = Field(sa_column=Column(BigInteger, nullable=False, index=True))
    outcome: str = Field(max_length=64)
    entry_index: int | None = Field(default=None, sa_column=Column(BigInteger))


class ApprovalRow(SQLModel, table=True):
    """A member's signature under a proposal, the newest it gave."""

    __tablename__ = "approvals"
    proposal_id: str = Field(sa_column=Column(String(64), ForeignKey("proposals.id"), primary_key=True))
    member_id: str = Field(primary_key=True, max_length=64)
    signature: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    approved_s: int = Field(sa_column=Column(BigInteger, nullable=False))
