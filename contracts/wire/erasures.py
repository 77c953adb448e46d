"""What a copy of the ledger signs once it has erased what an entry names: an erasure receipt."""

from dataclasses import dataclass

from contracts.units import UnixSeconds
from contracts.wire import signatures
from contracts.wire.cbor import decode, encode

OPERATOR = "operator"
"""In the place of a member's id: the copy of who runs the log."""
_WHAT = "sparks-erasure"


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasureReceipt:
    """One copy's word on one erasure.

    index             of the entry that names what is erased
    customer_hash     SHA-256 of the customer's pseudonym
    backups_expire_s  when the last backup that still has it is gone
    who               OPERATOR or a member's id
    """

    origin: str
    index: int
    customer_hash: bytes
    erased_s: UnixSeconds
    backups_expire_s: UnixSeconds
    who: str


def to_bytes(receipt: ErasureReceipt) -> bytes:
    """The deterministic CBOR that is signed."""
    return encode(
        [
            _WHAT,
            receipt.origin,
            receipt.index,
            receipt.customer_hash,
            receipt.erased_s,
            receipt.backups_expire_s,
            receipt.who,
        ]
    )


def from_bytes(data: bytes) -> ErasureReceipt:
    """Read what `to_bytes` wrote; anything else raises ValueError."""
    match decode(data):
        case ["sparks-erasure", str(origin), int(index), bytes(customer), int(erased_s), int(expire_s), str(who)]:
            receipt = ErasureReceipt(
                origin=origin,
                index=index,
                customer_hash=customer,
                erased_s=erased_s,
                backups_expire_s=expire_s,
                who=who,
            )
            if to_bytes(receipt) == data:
                return receipt
    raise ValueError("not an erasure receipt")


def sign(receipt: ErasureReceipt, seed: bytes) -> bytes:
    """The Ed25519 signature over the receipt."""
    return signatures.sign(seed, to_bytes(receipt))
