"""Ed25519 signatures (RFC 8032) and the names of their keys; the only door to the cryptographic library.

Verification is libsodium's: it refuses S >= L and keys of small order and never batches, so all members
agree.
"""

import hashlib
from functools import lru_cache
from typing import Final

from nacl import bindings
from nacl.exceptions import BadSignatureError

SEED_LENGTH: Final = 32
PUBLIC_KEY_LENGTH: Final = 32
SIGNATURE_LENGTH: Final = 64
KEY_ID_LENGTH: Final = 8

# Deterministic COSE_Key {1 (kty): 1 (OKP), -1 (crv): 6 (Ed25519), -2 (x): 32 bytes}, up to the key itself.
_COSE_KEY_HEAD: Final = bytes.fromhex("a301012006215820")


def public_key_of(seed: bytes) -> bytes:
    """Return the 32-byte public key of a 32-byte private `seed`."""
    return _expanded(seed)[-PUBLIC_KEY_LENGTH:]


def sign(seed: bytes, message: bytes) -> bytes:
    """Return the 64-byte signature of `message`; the same message always gets the same one."""
    return bindings.crypto_sign(message, _expanded(seed))[:SIGNATURE_LENGTH]


def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Return whether the owner of `public_key` signed `message`; a wrong length is just False."""
    if len(signature) != SIGNATURE_LENGTH or len(public_key) != PUBLIC_KEY_LENGTH:
        return False
    try:
        bindings.crypto_sign_open(signature + message, public_key)
    except BadSignatureError:
        return False
    return True


def thumbprint(public_key: bytes) -> bytes:
    """Return the RFC 9679 thumbprint: SHA-256 of the deterministic COSE_Key."""
    if len(public_key) != PUBLIC_KEY_LENGTH:
        raise ValueError(f"an Ed25519 public key has {PUBLIC_KEY_LENGTH} bytes, got {len(public_key)}")
    return hashlib.sha256(_COSE_KEY_HEAD + public_key).digest()


@lru_cache(65_536)
def key_id(public_key: bytes) -> bytes:
    """Return the 8 bytes by which messages hint at `public_key`: a hint to find it, never a proof."""
    return thumbprint(public_key)[:KEY_ID_LENGTH]


@lru_cache(4_096)
def _expanded(seed: bytes) -> bytes:
    """The 64-byte private key (seed, then public key) that libsodium signs with."""
    if len(seed) != SEED_LENGTH:
        raise ValueError(f"an Ed25519 seed has {SEED_LENGTH} bytes, got {len(seed)}")
    _, private_key = bindings.crypto_sign_seed_keypair(seed)
    return private_key
