"""Passwords as argon2id hashes (RFC 9106, by libsodium), slow on purpose and therefore few at a time."""

import threading
from typing import Final

from nacl import pwhash
from nacl.exceptions import InvalidkeyError

AT_ONCE_MAX: Final = 2
"""Each hash takes 64 MiB; whoever comes third waits."""


class Passwords:
    """Makes hashes and compares with them.

    opslimit, memlimit_bytes  the cost of a new hash; one that exists carries its own
    """

    def __init__(
        self,
        *,
        opslimit: int = pwhash.argon2id.OPSLIMIT_INTERACTIVE,
        memlimit_bytes: int = pwhash.argon2id.MEMLIMIT_INTERACTIVE,
    ) -> None:
        self._opslimit = opslimit
        self._memlimit_bytes = memlimit_bytes
        self._turn = threading.BoundedSemaphore(AT_ONCE_MAX)
        self._nobodys_hash = self.hash("no password at all")

    def hash(self, password: str) -> str:
        """The hash of a password, with a new salt."""
        with self._turn:
            made = pwhash.argon2id.str(password.encode(), opslimit=self._opslimit, memlimit=self._memlimit_bytes)
        return made.rstrip(b"\0").decode("ascii")

    def matches(self, password: str, password_hash: str | None) -> bool:
        """Is it the password of this hash? None, for a person nobody knows, takes as long and is False."""
        with self._turn:
            try:
                is_right = pwhash.verify((password_hash or self._nobodys_hash).encode("ascii"), password.encode())
            except InvalidkeyError:
                return False
        return is_right and password_hash is not None
