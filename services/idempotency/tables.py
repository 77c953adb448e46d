"""The table of idempotency. No program is imported here, so that migrations can read it alone."""

from sqlalchemy import BigInteger, Column, LargeBinary
from sqlmodel import Field, SQLModel


class AnswerRow(SQLModel, table=True):
    """What a call was answered, or that it is running (status 0).

    id, digest  as in `asked.Asked`
    body        JSON text as a repeat gets it: without secrets
    at_s        when it was claimed, then when it was answered
    """

    __tablename__ = "answers"
    id: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    digest: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    status: int
    body: str
    at_s: int = Field(sa_column=Column(BigInteger, nullable=False, index=True))
