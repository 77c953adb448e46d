"""How a balance is split over leaves: how many, how much on each, salted and shuffled, all drawn from the day's seed.

BLAKE2b with a key (RFC 7693) is the pseudo-random function, each use under its own personalisation; so the same seed
and balances make the same tree again to the byte, and what is drawn for one account tells nothing of another's.
"""

from hashlib import blake2b
from itertools import pairwise
from typing import Final, NamedTuple

from contracts.units import MicroSparks
from contracts.wire.liabilities import SALT_BYTES

SEED_BYTES: Final = 32
PARTS_MIN: Final = 2
PARTS_CHOICES: Final = 4
"""2 to 5 parts, each number as likely; a power of two, so that a byte chooses among them evenly."""
_ORDER: Final = slice(SALT_BYTES, SALT_BYTES + 8)
_CUTS: Final = (slice(SALT_BYTES + 8, SALT_BYTES + 20), slice(SALT_BYTES + 20, SALT_BYTES + 32))
"""12 bytes each: what a cut modulo an amount below 2**63 prefers is less than one in 2**32."""


class Owed(NamedTuple):
    """What an account is owed."""

    micro_sparks: MicroSparks
    deferred_micro_sparks: MicroSparks


class Share(NamedTuple):
    """One part of it; leaves are shuffled by `order`."""

    salt: bytes
    order: int
    owed: Owed


def key_of(seed: bytes, account: str) -> bytes:
    """32 bytes from which all that is drawn for an account follows."""
    return blake2b(account.encode(), digest_size=32, key=seed, person=b"sparks-account").digest()


def split(key: bytes, owed: Owed) -> list[Share]:
    """Split over 2 to 5 leaves, of which some may hold nothing."""
    count = PARTS_MIN + blake2b(digest_size=1, key=key, person=b"sparks-count").digest()[0] % PARTS_CHOICES
    drawn = [_drawn(key, b"sparks-part", number) for number in range(count)]
    sparks, deferred = (
        _between_cuts(amount, [int.from_bytes(bits[cut], "big") for bits in drawn[1:]])
        for amount, cut in zip(owed, _CUTS, strict=True)
    )
    return [
        Share(bits[:SALT_BYTES], int.from_bytes(bits[_ORDER], "big"), Owed(*amounts))
        for bits, *amounts in zip(drawn, sparks, deferred, strict=True)
    ]


def filler(seed: bytes, number: int) -> Share:
    """A leaf of nobody that holds nothing."""
    bits = _drawn(seed, b"sparks-filler", number)
    return Share(bits[:SALT_BYTES], int.from_bytes(bits[_ORDER], "big"), Owed(0, 0))


def _drawn(key: bytes, person: bytes, number: int) -> bytes:
    return blake2b(number.to_bytes(8, "big"), digest_size=64, key=key, person=person).digest()


def _between_cuts(amount: int, drawn: list[int]) -> list[int]:
    cuts = sorted(bits % (amount + 1) for bits in drawn)
    return [upper - lower for lower, upper in pairwise([0, *cuts, amount])]
