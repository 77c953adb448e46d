"""The change of a unit's key, as its old key signs it."""

from contracts.wire.cbor import encode


def key_change_bytes(device_id: str, public_key: bytes, from_seq: int) -> bytes:
    """Return what the old key signs to hand over to `public_key` (32 bytes) from pack `from_seq` on."""
    return encode(["sparks-key", device_id, public_key, from_seq])
