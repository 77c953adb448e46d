"""Checkout codes: 18 digits that a till sends as PAN `9` + code, whose last digit is Luhn's (interfaces.md 4)."""

import hashlib
from typing import Final

CODE_DIGITS: Final = 18
PAN_PREFIX: Final = "9"

_CHOSEN_DIGITS: Final = CODE_DIGITS - 1


def code_from(secret: bytes) -> str:
    """The code that these (32 secret, uniformly distributed) bytes stand for.

    The 256 bits are so much longer than the 17 digits that the remainder favours none of them noticeably.
    """
    chosen = f"{int.from_bytes(secret, 'big') % 10**_CHOSEN_DIGITS:0{_CHOSEN_DIGITS}d}"
    return chosen + luhn_digit(PAN_PREFIX + chosen)


def luhn_digit(digits: str) -> str:
    """The digit that, put after `digits`, makes a number that Luhn's check accepts (ISO/IEC 7812-1)."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        doubled = int(digit) * (2 if place % 2 == 0 else 1)
        total += doubled // 10 + doubled % 10
    return str(-total % 10)


def code_hash(code: str) -> bytes:
    """How the ledger knows a code: SHA-256 of its digits."""
    return hashlib.sha256(code.encode()).digest()
