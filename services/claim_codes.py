"""Claim codes: what the fleet's operator hands out with a unit, and its new owner types in.

Owns their alphabet and how they are read. The ledger knows a code by its SHA-256 only; who may use it is decided there.
"""

import hashlib
import re
from typing import Final

CODE_LENGTH: Final = 16
"""80 bits: nobody guesses one of a million open codes in the 90 days it lives."""

# Crockford's base 32: no I, L, O, U, which people misread.
_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_MISREAD: Final = str.maketrans("ILO", "110")
_WRITTEN: Final = re.compile(f"[{_ALPHABET}]{{{CODE_LENGTH}}}")


def code_from(secret: bytes) -> str:
    """Return the code that these (at least 10 secret, uniformly distributed) bytes stand for, in groups of four."""
    bits = int.from_bytes(secret[:10], "big")
    letters = "".join(_ALPHABET[bits >> 5 * place & 31] for place in range(CODE_LENGTH))
    return "-".join(letters[start : start + 4] for start in range(0, CODE_LENGTH, 4))


def hash_of(text: str) -> bytes | None:
    """Return how the ledger knows the code that a person typed, or None if it can be none.

    Case, spaces and hyphens do not matter, and letters that look like digits are read as these.
    """
    code = re.sub(r"[\s-]", "", text).upper().translate(_MISREAD)
    return hashlib.sha256(code.encode()).digest() if _WRITTEN.fullmatch(code) else None
