"""The balance of every account as one entry had left it, while the ledger goes on.

What an account holds now, less what was posted on it since: it costs what has happened since that entry, not the
history before it.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from sqlalchemy import Connection, func, select

from contracts import state
from contracts.state import Account
from services.database import among
from services.ledger.tables import POSTINGS, STATE

KEYS_MAX: Final = 500
"""Accounts in one statement."""
_FIRST, _END = "account/", "account0"  # "0" is the character after "/"


def balances(connection: Connection, index: int, *, after: str, limit: int) -> list[tuple[str, int]]:
    """Up to `limit` accounts by key in order, beginning after the key `after`, and what each held at entry `index`.

    connection  sees one moment: what is posted while this reads must not count
    """
    query = (
        select(STATE.c.key, STATE.c.version, STATE.c.value)
        .where(STATE.c.key >= _FIRST, STATE.c.key > after, STATE.c.key < _END)
        .order_by(STATE.c.key)
        .limit(limit)
    )
    rows = connection.execute(query).all()
    since = dict(_posted_since(connection, index, [key for key, version, _ in rows if version > index]))
    return [(key, _balance(key, data) - since.get(key, 0)) for key, _, data in rows]


def _balance(key: str, data: bytes) -> int:
    row = state.from_bytes(key, data)
    if not isinstance(row, Account):
        raise TypeError(f"{key} holds a {type(row).__name__}")
    return row.balance


def _posted_since(connection: Connection, index: int, keys: Sequence[str]) -> Iterator[tuple[str, int]]:
    """What was posted after entry `index` on these accounts, by key."""
    accounts = sorted({key.split("/", 2)[2] for key in keys})
    posting = POSTINGS.c
    for start in range(0, len(accounts), KEYS_MAX):
        wanted = among(connection, posting.account, accounts[start : start + KEYS_MAX])
        query = select(posting.asset, posting.account, func.sum(posting.amount)).where(wanted, posting.index > index)
        for asset, account, amount in connection.execute(query.group_by(posting.asset, posting.account)):
            yield state.account_key(asset, account), int(amount)
