"""Does an erasure that a copy is told of, and whose entry it does not see, erase what is about that customer only?

A copy of all collections reads it in the entry itself. One that is given a part has the operator's word, and the
entries: it erases none that is about somebody else, and none that is about nobody.
"""

import hashlib
from collections.abc import Iterable, Mapping

from contracts import accounts
from services.ledger.deliveries import Notice
from services.ledger.differing import disagree

_OWN_ROWS = ("customer", "spending")


def people(keys: Iterable[str]) -> set[bytes]:
    """SHA-256 of the pseudonym of each customer whose rows lie under these keys."""
    return {hashlib.sha256(name.encode()).digest() for name in _names(keys)}


def check(index: int, notice: Notice, about: Mapping[int, set[bytes] | None]) -> None:
    """Is each entry that is erased one that was given here and is about the customer? Raises Disagreed.

    about  of the entries that may be erased, whom they are about; None of one that was erased before it came here
    """
    theirs = notice.customer_hash.hex()
    if list(notice.erased) != sorted(set(notice.erased)):
        disagree(index, "payloads", "the entries that are erased here", "in order", str(notice.erased))
    for erased in notice.erased:
        if erased not in about or erased >= index:
            disagree(index, "payloads", f"entry {erased} is erased here", "none that was given", theirs)
        ours = about[erased]
        if ours is not None and notice.customer_hash not in ours:
            names = " ".join(sorted(name.hex() for name in ours)) or "nobody"
            disagree(index, "payloads", f"entry {erased} is erased here", f"about {names}", theirs)


def _names(keys: Iterable[str]) -> Iterable[str]:
    for key in keys:
        kind, _, name = key.partition("/")
        if kind in _OWN_ROWS:
            yield name
        elif kind == "account":
            owner, _, who = name.partition("/")[2].partition("/")
            if f"{owner}/{who}" in (accounts.customer(who), accounts.held(who)):
                yield who
