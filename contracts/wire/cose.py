"""COSE_Sign1 messages (RFC 9052) in the one shape that counts here.

Tag 18 of [protected, {}, payload, signature]; protected is exactly {1: alg, 3: content type, 4: kid}; the
whole, protected and payload are deterministic CBOR; no external_aad. One reading only, so that a signed
message can be entered on the ledger as received and never comes back in another skin.
"""

from enum import StrEnum
from functools import lru_cache
from typing import Any, Final, NamedTuple

from contracts.wire import packs, signatures
from contracts.wire.cbor import NotDeterministic, decode, encode, remembered

SENML_CBOR: Final = 112
CBOR: Final = 60
EDDSA: Final = -8  # deprecated by RFC 9864, but what most libraries write
ED25519: Final = -19

REMEMBERED: Final = 1_024  # messages
MESSAGE_BYTES_MAX: Final = 32 * 1024

_ALG, _CONTENT_TYPE, _KID = 1, 3, 4
_LABELS: Final = frozenset({_ALG, _CONTENT_TYPE, _KID})
_TAG_18: Final = b"\xd2"


class Flaw(StrEnum):
    """Why bytes are no message of ours, in the order of checking."""

    TOO_LARGE = "too_large"
    MALFORMED_COSE = "malformed_cose"
    UNSUPPORTED_ALGORITHM = "unsupported_algorithm"


class Sign1(NamedTuple):
    """A message of the right shape; nothing is said yet about who signed it.

    alg           EDDSA or ED25519, both with an Ed25519 key
    content_type  of the payload, a CoAP number: SENML_CBOR or CBOR
    kid           8 bytes, a hint to find the key
    protected     the encoded header, as received
    payload       deterministic CBOR, as received
    signature     as received, of any length: a wrong one fails where it is verified
    """

    alg: int
    content_type: int
    kid: bytes
    protected: bytes
    payload: bytes
    signature: bytes

    def signed_bytes(self) -> bytes:
        """Return the Sig_structure of RFC 9052 4.4, the bytes that the signature is over."""
        return _sig_structure(self.protected, self.payload)


def parse(message: bytes, *, content_type: int) -> Sign1 | Flaw:
    """Return the parts of `message`, whose payload must be of `content_type`, or the first flaw it has."""
    # What is too large is never remembered: a cache of such messages would not be small.
    return Flaw.TOO_LARGE if len(message) > MESSAGE_BYTES_MAX else _parsed(message, content_type)


@lru_cache(REMEMBERED)
def _parsed(message: bytes, content_type: int) -> Sign1 | Flaw:
    """Remembered, because a message is looked at by whoever checks it, whoever orders it and whoever executes it."""
    if not message.startswith(_TAG_18):
        return Flaw.MALFORMED_COSE
    try:
        parts = decode(message[len(_TAG_18) :])
        if not _are_parts(parts):
            return Flaw.MALFORMED_COSE
        protected, _, payload, signature = parts
        header = remembered(protected)
        is_sound = _is_header(header, content_type) and _is_payload(payload, content_type)
    except NotDeterministic:
        return Flaw.MALFORMED_COSE
    if not is_sound:
        return Flaw.MALFORMED_COSE
    alg = header[_ALG]
    if alg not in (EDDSA, ED25519):
        return Flaw.UNSUPPORTED_ALGORITHM
    return Sign1(alg, content_type, header[_KID], protected, payload, signature)


def build(payload: bytes, *, content_type: int, seed: bytes, alg: int = EDDSA) -> bytes:
    """Return the message that carries `payload` (deterministic CBOR) signed by the 32-byte Ed25519 `seed`."""
    kid = signatures.key_id(signatures.public_key_of(seed))
    protected = encode({_ALG: alg, _CONTENT_TYPE: content_type, _KID: kid})
    signature = signatures.sign(seed, _sig_structure(protected, payload))
    return _TAG_18 + encode([protected, {}, payload, signature])


def is_signed_by(sign1: Sign1, public_key: bytes) -> bool:
    """Return whether the owner of the Ed25519 `public_key` signed this message."""
    return signatures.verify(public_key, sign1.signed_bytes(), sign1.signature)


def _sig_structure(protected: bytes, payload: bytes) -> bytes:
    return encode(["Signature1", protected, b"", payload])


def _are_parts(parts: Any) -> bool:
    """Whether these are the four parts of a COSE_Sign1 with an attached payload and nothing unprotected."""
    if type(parts) is not list or len(parts) != 4 or parts[1] != {}:
        return False
    return all(type(part) is bytes for part in (parts[0], parts[2], parts[3]))


def _is_header(header: Any, content_type: int) -> bool:
    """Whether this is the profile's protected header, whichever algorithm (a number or a name) it states."""
    return (
        type(header) is dict
        and header.keys() == _LABELS
        and type(header[_ALG]) in (int, str)
        and type(header[_CONTENT_TYPE]) is int
        and header[_CONTENT_TYPE] == content_type
        and type(header[_KID]) is bytes
        and len(header[_KID]) == signatures.KEY_ID_LENGTH
    )


def _is_payload(payload: bytes, content_type: int) -> bool:
    """Whether this is what the profile asks of a payload; raise NotDeterministic if it is not deterministic CBOR.

    A SenML pack is, as far as the profile asks, a non-empty array of maps.
    """
    if content_type == SENML_CBOR and packs.read_as_written(payload) is not None:
        return True
    content = remembered(payload)
    if content_type != SENML_CBOR:
        return True
    return type(content) is list and bool(content) and all(type(record) is dict for record in content)
