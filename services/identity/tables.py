"""The tables of identity. No program is imported here, so that migrations can read it alone."""

from sqlalchemy import BigInteger, Column, LargeBinary
from sqlmodel import Field, SQLModel


class OauthClientRow(SQLModel, table=True):
    """An organisation's client.

    secret_hash  as `clients.Clients` makes it; never the secret
    scopes       separated by spaces, as in a token
    retailer_id  whose till this is, for the scope `retailer`
    """

    __tablename__ = "oauth_clients"
    client_id: str = Field(primary_key=True, max_length=64)
    secret_hash: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    scopes: str
    retailer_id: str | None = Field(default=None, max_length=15)


class RevokedTokenRow(SQLModel, table=True):
    """A customer's token that is no good any more, until it would have expired anyway."""

    __tablename__ = "revoked_tokens"
    token_id: str = Field(primary_key=True, max_length=64)
    expires_s: int = Field(sa_column=Column(BigInteger, nullable=False, index=True))
