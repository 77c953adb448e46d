"""Who the customers are: the only personal data of the platform, one row to delete when a person leaves."""

from sqlalchemy import BigInteger, Column
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
