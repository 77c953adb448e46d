"""Who may log in to the broker: the port, and the accounts of the embedded broker in a table."""

import hashlib
import hmac
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple, Protocol

from sqlalchemy import Engine, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from services.broker.tables import BrokerAccount
from services.broker.topics import is_device_id

SALT_BYTES: Final = 16
HASH_BYTES: Final = 32
PLATFORM_USERNAME: Final = "sparks_platform"
ADMIN_USERNAME: Final = "sparks_admin"
# PostgreSQL takes 65,535 parameters in a statement, SQLite 32,766; a row has two.
ROWS_PER_STATEMENT: Final = 1_000

_INSERT_BY_DIALECT: Final[dict[str, Callable[..., Any]]] = {
    "sqlite": sqlite.insert,
    "postgresql": postgresql.insert,
}


class Login(NamedTuple):
    """What a client of the broker logs in with; the user name of a unit is its device id."""

    username: str
    password: str


class BrokerAccounts(Protocol):
    """The port to whichever broker stands in front of the units."""

    def admit(self, accounts: Sequence[tuple[str, str]]) -> None:
        """Let each (username, password) in as a unit; a known user name gets the new password.

        Raises ValueError where a user name is no device id.
        """
        ...

    def remove(self, usernames: Sequence[str]) -> None:
        """Let these in no more; an unknown user name changes nothing.

        Raises ValueError where a user name is no device id.
        """
        ...


def units_only(usernames: Iterable[str]) -> None:
    """Raise ValueError where a user name is no device id.

    The platform and the administrator have names that no device can have, so that whoever registers devices
    can neither give them a password nor remove them.
    """
    strangers = [username for username in usernames if not is_device_id(username)]
    if strangers:
        raise ValueError(f"no device id: {strangers[0]!r}")


def never_a_unit(login: Login) -> Login:
    """Return `login`; raises ValueError where its user name could be a device id, see `units_only`."""
    if is_device_id(login.username):
        raise ValueError(f"{login.username!r} could be a device's name: use a character outside a-z 0-9 -")
    return login


def password_hash(password: str, *, salt: bytes) -> str:
    """Return salt and BLAKE2b hash of `password` as `salt:hash` in hex.

    A fast hash is right here, and only here: the passwords are 32 random bytes that the platform draws, so
    there is no dictionary to try and no work factor adds anything to 2^256 guesses, while a factory order
    is 10,000 units in one call and a power cut brings every unit back at once. The salt keeps equal
    passwords from showing. Customers' passwords are people's: those are argon2id, elsewhere.
    """
    digest = hashlib.blake2b(password.encode(), digest_size=HASH_BYTES, salt=salt, person=b"sparks-broker")
    return f"{salt.hex()}:{digest.hexdigest()}"


def is_password(password: str, stored_hash: str) -> bool:
    """Return whether `password` is the one behind `stored_hash`, in a time that tells nothing."""
    salt = bytes.fromhex(stored_hash.partition(":")[0])
    return hmac.compare_digest(password_hash(password, salt=salt), stored_hash)


class TableAccounts:
    """`BrokerAccounts` in the table `broker_accounts`, on SQLite or PostgreSQL.

    Nothing is cached: an account that is removed or gets another password counts at the very next log-in, and
    one row by primary key costs less than the connection that asks for it.
    """

    def __init__(self, engine: Engine, *, random_bytes: Callable[[int], bytes] = os.urandom) -> None:
        self._engine = engine
        self._random_bytes = random_bytes

    def admit(self, accounts: Sequence[tuple[str, str]]) -> None:
        """Write all accounts in one transaction; of a user name given twice the last password counts."""
        passwords = dict(accounts)
        units_only(passwords)
        rows = [
            {
                "username": username,
                "password_hash": password_hash(password, salt=self._random_bytes(SALT_BYTES)),
            }
            for username, password in passwords.items()
        ]
        insert = _INSERT_BY_DIALECT[self._engine.dialect.name]
        with self._engine.begin() as connection:
            for start in range(0, len(rows), ROWS_PER_STATEMENT):
                statement = insert(BrokerAccount).values(rows[start : start + ROWS_PER_STATEMENT])
                connection.execute(
                    statement.on_conflict_do_update(
                        index_elements=["username"], set_={"password_hash": statement.excluded.password_hash}
                    )
                )

    def remove(self, usernames: Sequence[str]) -> None:
        """Delete the accounts in one transaction; a connection that is open lives until it ends."""
        units_only(usernames)
        accounts = BrokerAccount.__table__  # type: ignore[attr-defined]
        with self._engine.begin() as connection:
            for start in range(0, len(usernames), ROWS_PER_STATEMENT):
                chosen = usernames[start : start + ROWS_PER_STATEMENT]
                connection.execute(delete(accounts).where(accounts.c.username.in_(chosen)))

    def is_admitted(self, login: Login) -> bool:
        """Return whether this user name and password may log in."""
        accounts = BrokerAccount.__table__  # type: ignore[attr-defined]
        query = select(accounts.c.password_hash).where(accounts.c.username == login.username)
        with self._engine.connect() as connection:
            stored_hash = connection.execute(query).scalar_one_or_none()
        return stored_hash is not None and is_password(login.password, stored_hash)
