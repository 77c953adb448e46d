"""Checkpoints (C2SP tlog-checkpoint): the size and root of a log at one moment, signed by the log."""

import re
from dataclasses import dataclass
from typing import Final

from services.ledger import notes
from services.ledger.merkle import EMPTY_ROOT, HASH_BYTES, SIZE_MAX

_SIZE: Final = re.compile(r"0|[1-9][0-9]{0,18}")
# No control character, and no lone surrogate: it has no UTF-8 to sign.
_LINE: Final = re.compile(r"[^\x00-\x1f\ud800-\udfff]+")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A log's tree at one size.

    origin      the log's unique name, one line, not empty
    size        number of entries, 0 to 2^63 - 1
    root        32 bytes; of size 0, SHA-256 of nothing
    extensions  further lines, none of them empty; signed, and otherwise without meaning here
    """

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not all(_LINE.fullmatch(line) for line in (self.origin, *self.extensions)):
            raise ValueError("origin and extensions are lines that are not empty")
        if not 0 <= self.size <= SIZE_MAX:
            raise ValueError(f"size is 0 to 2^63 - 1, got {self.size}")
        if len(self.root) != HASH_BYTES or (self.size == 0 and self.root != EMPTY_ROOT):
            raise ValueError("root is the 32 bytes of a hash, and of size 0 the empty root")

    def text(self) -> str:
        """Return the text that is signed: a line each, and a newline after the last."""
        lines = (self.origin, str(self.size), notes.base64_text(self.root), *self.extensions)
        return "".join(f"{line}\n" for line in lines)


def parse(text: str) -> Checkpoint | None:
    """Return the checkpoint that `text` spells, or None unless it is written the one way `text()` does."""
    origin, *rest = text.split("\n")
    if len(rest) < 3 or rest[-1] or not _SIZE.fullmatch(rest[0]):
        return None
    size_text, root_text, *extensions = rest[:-1]
    root = notes.base64_bytes(root_text)
    if root is None:
        return None
    try:
        return Checkpoint(origin, int(size_text), root, tuple(extensions))
    except ValueError:
        return None


def sign(checkpoint: Checkpoint, seed: bytes) -> bytes:
    """Return the note by which the log's Ed25519 key of `seed` (32 bytes) signs, under the origin's name.

    Raises ValueError if the origin cannot be a key's name (it has a space or a `+`).
    """
    text = checkpoint.text()
    return notes.sign_note(text, [notes.signature_line(text, name=checkpoint.origin, seed=seed)])
