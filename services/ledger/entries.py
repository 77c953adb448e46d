"""The public bytes of an entry: all that a leaf of the log says, and what it commits to without saying it."""

import hashlib
from typing import Final, NamedTuple

import cbor2

from contracts.units import UnixSeconds
from contracts.wire import cbor

VERSION: Final = 1
SALT_BYTES: Final = 16
HASH_BYTES: Final = 32
AT_S_MAX: Final = 2**63 - 1
"""The latest moment that a database can hold."""


class Entry(NamedTuple):
    """One leaf of the log; `index` is its place and not in its bytes.

    kind                what was commanded (`Command.KIND`)
    collection          who may see the payload; never names a person
    contract_version    SHA-256 of the contract set that executed it
    command_commitment  SHA-256 of salt and request
    effects_commitment  SHA-256 of salt and effects
    """

    kind: str
    at_s: UnixSeconds
    collection: str
    contract_version: bytes
    command_commitment: bytes
    effects_commitment: bytes


def to_bytes(entry: Entry) -> bytes:
    """Return the deterministic CBOR array that is the leaf."""
    # Without maps and floats the shortest encoding is the only one, and cbor2 writes that.
    return cbor2.dumps(
        [
            VERSION,
            entry.kind,
            entry.at_s,
            entry.collection,
            entry.contract_version,
            entry.command_commitment,
            entry.effects_commitment,
        ]
    )


def from_bytes(data: bytes) -> Entry:
    """Return the entry that `to_bytes` wrote; anything else raises ValueError."""
    match cbor.decode(data):
        case [int(version), str(kind), int(at_s), str(collection), bytes(contract), bytes(command), bytes(effects)] if (
            type(version) is int
            and version == VERSION
            and type(at_s) is int
            and 0 <= at_s <= AT_S_MAX
            and len(contract) == len(command) == len(effects) == HASH_BYTES
        ):
            return Entry(kind, at_s, collection, contract, command, effects)
    raise ValueError("not an entry")


def commitment(salt: bytes, data: bytes) -> bytes:
    """Return what binds an entry to `data` and, without the random salt, tells nothing of it."""
    if len(salt) != SALT_BYTES:
        raise ValueError(f"a salt has {SALT_BYTES} bytes, got {len(salt)}")
    return hashlib.sha256(salt + data).digest()
