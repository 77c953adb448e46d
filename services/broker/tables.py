"""The embedded broker's one table. No program is imported here, so that migrations can read it alone."""

from sqlmodel import Field, SQLModel


class BrokerAccount(SQLModel, table=True):
    """One user of the embedded broker.

    username       the device id of a unit
    password_hash  salt and salted hash, as `accounts.password_hash` writes them; never the password
    """

    __tablename__ = "broker_accounts"

    username: str = Field(primary_key=True, max_length=64)
    password_hash: str = Field(max_length=128)
