"""What the bytes under an entry's effects commitment say: postings, and hashes of rows and answer."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from contracts.effects import Posting
from contracts.wire import cbor

_PERSONAL: Final = frozenset({"customer", "held", "holdings", "earnings", "spending"})


@dataclass(frozen=True, slots=True)
class Committed:
    """`contracts.effects.to_bytes`, read again.

    rows    SHA-256 of each row written, by key (None: the row is gone)
    answer  SHA-256 over the command's salt and the answer to the caller
    """

    postings: tuple[Posting, ...]
    rows: Mapping[str, bytes | None]
    answer: bytes

    @property
    def people(self) -> frozenset[str]:
        """The customers that postings and keys name."""
        accounts = [key.partition("/")[2].partition("/")[2] for key in self.rows if key.startswith("account/")]
        names = [*self.rows, *accounts, *(posting.account for posting in self.postings)]
        parts = (name.partition("/") for name in names)
        return frozenset(person for kind, _, person in parts if kind in _PERSONAL)

    def names_only(self, customer_id: str) -> bool:
        """Does it name nobody but this customer?"""
        return self.people <= {customer_id}

    def wrote(self, key: str, row: bytes) -> bool:
        """Did the entry leave this row under the key?"""
        return self.rows.get(key) == hashlib.sha256(row).digest()


def committed(effects: bytes) -> Committed:
    """Read the bytes; ValueError for anything else."""
    match cbor.decode(effects):
        case [list(postings), list(written), bytes(answer)]:
            try:
                legs = tuple(Posting(str(asset), str(account), int(amount)) for asset, account, amount in postings)
                return Committed(legs, {str(key): sha256 for key, sha256 in written}, answer)
            except (TypeError, ValueError) as error:
                raise ValueError("not the effects of an entry") from error
    raise ValueError("not the effects of an entry")
