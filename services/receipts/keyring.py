"""Which keys must have signed a checkpoint, in the form of `/log/keys`: the log's vkey, members' vkeys, `quorum k`."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from services.ledger import notes
from services.ledger.notes import KeyType, OpenedNote, VerifierKey

_QUORUM: Final = re.compile(r"quorum (0|[1-9][0-9]{0,3})")


@dataclass(frozen=True, slots=True)
class Keyring:
    """The log's key, the members' keys, and how many members must have co-signed."""

    log: VerifierKey
    members: tuple[VerifierKey, ...]
    quorum: int

    def text(self) -> str:
        """As `/log/keys` serves it."""
        return "".join(f"{key.text()}\n" for key in (self.log, *self.members)) + f"quorum {self.quorum}\n"


def naming(log: VerifierKey, note: bytes, members: Iterable[VerifierKey]) -> Keyring:
    """The keys that signed a checkpoint, of these: the log's, and whoever co-signed it, all of whom must have."""
    opened = notes.open_note(note, {log, *members})
    signers = [signature.key for signature in opened.signatures] if isinstance(opened, OpenedNote) else []
    cosigners = sorted((key for key in signers if key.type is KeyType.COSIGNATURE), key=lambda key: key.name)
    return Keyring(log, tuple(cosigners), len(cosigners))


def parse(text: str) -> Keyring | None:
    """Return the keys that a text of this form names, or None if it is malformed."""
    *lines, last = text.removesuffix("\n").split("\n")
    quorum = _QUORUM.fullmatch(last)
    keys = [notes.parse_vkey(line) for line in lines]
    known = [key for key in keys if key is not None]
    if quorum is None or not known or len(known) != len(keys):
        return None
    return Keyring(known[0], tuple(known[1:]), int(quorum[1]))
