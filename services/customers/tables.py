"""Who the customers are: the only personal data of the platform, one row to delete when a person leaves."""

from sqlalchemy import BigInteger, Column, LargeBinary
from sqlmodel import Field, SQLModel


class CustomerRow(SQLModel, table=True):
    """A person behind a pseudonym.

    email             lower case; nobody has two accounts
    password_hash     argon2id, with its salt and cost in it
    language          en or fr
    consent_version, consent_at_s   to which text the person agreed, and when
    """

    __tablename__ = "customers"
    customer_id: str = Field(primary_key=True)
    email: str = Field(unique=True)
    password_hash: str
    name: str
    postal_code: str
    language: str
    consent_version: str
    consent_at_s: int = Field(sa_column=Column(BigInteger, nullable=False))
    created_s: int = Field(sa_column=Column(BigInteger, nullable=False))


class SignInAttemptRow(SQLModel, table=True):
    """An attempt to sign in that has not succeeded.

    subject  hex SHA-256 of what is limited: an e-mail or an address
    """

    __tablename__ = "sign_in_attempts"
    number: int | None = Field(default=None, primary_key=True)
    subject: str = Field(index=True)
    at_s: int = Field(sa_column=Column(BigInteger, nullable=False, index=True))


class DepartureRow(SQLModel, table=True):
    """A customer who leaves or has left, by pseudonym; nothing here tells who that was.

    erasure_id   told to the customer alone
    statement    the final statement as JSON, once the account is closed
    entry_index  of the entry that erases, once that is done
    done_s       when nothing was left to do here
    """

    __tablename__ = "departures"
    erasure_id: str = Field(primary_key=True)
    customer_id: str = Field(unique=True)
    transfer_to: str | None = Field(default=None)
    asked_s: int = Field(sa_column=Column(BigInteger, nullable=False))
    statement: str | None = Field(default=None)
    entry_index: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True, index=True))
    done_s: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True))


class ErasureReceiptRow(SQLModel, table=True):
    """What one copy signed for the erasure that an entry names (`contracts.wire.erasures`)."""

    __tablename__ = "erasure_receipts"
    entry_index: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    who: str = Field(primary_key=True, max_length=64)
    receipt: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    signature: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    received_s: int = Field(sa_column=Column(BigInteger, nullable=False))
