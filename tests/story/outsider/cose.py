"""COSE_Sign1 in the strict profile, with pycose and pyca/cryptography."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import cbor2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pycose.algorithms import EdDSA
from pycose.headers import KID, Algorithm, ContentType
from pycose.keys.curves import Ed25519
from pycose.keys.okp import OKPKey
from pycose.messages.sign1message import Sign1Message

EDDSA: Final = -8
ED25519: Final = -19
"""RFC 9864; pycose 1.1 does not know it, so it is signed and verified by hand."""
SENML: Final = 112
CBOR: Final = 60
TAG_SIGN1: Final = b"\xd2"


def encoded(value: object) -> bytes:
    """Deterministic CBOR; keys of a map are all integers or all texts here, so both orders of RFC 8949 agree."""
    return cbor2.dumps(value, canonical=True)


def kid_of(public_key: bytes) -> bytes:
    """First 8 bytes of the RFC 9679 thumbprint."""
    return hashlib.sha256(encoded({1: 1, -1: 6, -2: public_key})).digest()[:8]


@dataclass(frozen=True, slots=True)
class SigningKey:
    """An Ed25519 key by its 32 byte seed."""

    seed: bytes

    @classmethod
    def named(cls, name: str) -> "SigningKey":
        """The same key for the same name: no chance in these tests."""
        return cls(hashlib.sha256(name.encode()).digest())

    @property
    def public(self) -> bytes:
        """The 32 bytes of the public key."""
        return Ed25519PrivateKey.from_private_bytes(self.seed).public_key().public_bytes_raw()

    def signature(self, message: bytes) -> bytes:
        """The 64 bytes of a bare Ed25519 signature."""
        return Ed25519PrivateKey.from_private_bytes(self.seed).sign(message)

    def sign1(self, payload: bytes, *, alg: int = EDDSA, content_type: int = SENML) -> bytes:
        """COSE_Sign1 of `payload`."""
        if alg == EDDSA:
            header = {Algorithm: EdDSA, ContentType: content_type, KID: kid_of(self.public)}
            message = Sign1Message(phdr=header, payload=payload)
            message.key = OKPKey(crv=Ed25519, d=self.seed, x=self.public)
            return bytes(message.encode())
        protected = encoded({1: alg, 3: content_type, 4: kid_of(self.public)})
        parts = [protected, {}, payload, self.signature(to_be_signed(protected, payload))]
        return TAG_SIGN1 + encoded(parts)


def to_be_signed(protected: bytes, payload: bytes) -> bytes:
    """RFC 9052 section 4.4, with empty external_aad."""
    return encoded(["Signature1", protected, b"", payload])


def opened(message: bytes, public_keys: Mapping[bytes, bytes]) -> dict[str, Any]:
    """What the platform signed with one of `public_keys` (by kid); an assertion fails if the profile is not kept."""
    assert message[:1] == TAG_SIGN1
    protected, unprotected, payload, signature = cbor2.loads(message[1:])
    assert encoded([protected, unprotected, payload, signature]) == message[1:]
    header = cbor2.loads(protected)
    assert set(header) == {1, 3, 4}
    assert (header[1] in (EDDSA, ED25519), header[3], unprotected) == (True, CBOR, {})
    public_key = public_keys[header[4]]
    assert kid_of(public_key) == header[4]
    Ed25519PublicKey.from_public_bytes(public_key).verify(signature, to_be_signed(protected, payload))
    if header[1] == EDDSA:
        decoded = Sign1Message.from_cose_obj(cbor2.loads(message[1:]), True)
        decoded.key = OKPKey(crv=Ed25519, x=public_key)
        assert decoded.verify_signature()
    value: dict[str, Any] = cbor2.loads(payload)
    assert encoded(value) == payload
    return value
