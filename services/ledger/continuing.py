"""A backup beside what was published after it: its beginning, another history, or nobody can say."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Final

from services.ledger import checkpoints, merkle, notes, tiles
from services.ledger.checkpoints import Checkpoint
from services.ledger.notes import OpenedNote, VerifierKey

SERVED_ELSEWHERE: Final = (
    "give a URL ending in /log/checkpoint of who still serves that log, and restore compares the two"
)


class AnotherLog(Exception):
    """A backup is not of the log that a checkpoint speaks of, or not of all of it."""


@dataclass(frozen=True, slots=True)
class Published:
    """A signed checkpoint, and where the tiles of its tree are, if anybody serves them.

    tile  gives the row of (level, n) in the tree of a size; raises OSError if it cannot be had
    """

    note: bytes
    tile: Callable[[int, int, int], bytes] | None = None


def signed(note: bytes, log_key: VerifierKey) -> Checkpoint:
    """The checkpoint in a note; raises AnotherLog unless the log has signed it."""
    opened = notes.open_note(note, [log_key])
    found = checkpoints.parse(opened.text) if isinstance(opened, OpenedNote) else None
    if found is None or found.origin != log_key.name:
        raise AnotherLog(f"a checkpoint is not signed by this log's key as {log_key.name}")
    return found


def require(own: Checkpoint, later: Checkpoint, published: Published, *, is_followed: bool) -> None:
    """Raise AnotherLog if a larger tree was published than the backup's own, and going on from here could fork it.

    is_followed  nothing is written here, so that a tree that continues the backup's own is followed up to it
    """
    continues, why = _continues(own, later, published)
    if continues is False:
        raise AnotherLog(
            f"the checkpoint of size {later.size} does not continue this backup, which ends at {own.size}: "
            "they are two histories of this log"
        )
    if is_followed:
        return
    said = f"the log was published up to size {later.size}, and this backup ends at {own.size}: "
    if continues:
        said += f"it is the beginning of that log, proved, and lacks {later.size - own.size} entries; "
    raise AnotherLog(f"{said}going on from here would fork it{'' if continues else f' ({why})'}")


def _continues(own: Checkpoint, later: Checkpoint, published: Published) -> tuple[bool | None, str]:
    """Whether there is a consistency proof from the one tree to the other; None with the reason if nobody can say."""
    served = published.tile
    if served is None:
        return None, SERVED_ELSEWHERE
    try:
        read = tiles.authenticated(later.size, later.root, cache(lambda level, n: served(level, n, later.size)))
        if read is None:
            return None, "whoever serves that checkpoint serves other tiles"
        proof = tiles.consistency_proof(own.size, later.size, read)
    except tiles.ForgedTile as forged:
        return None, f"whoever serves that checkpoint serves another {forged}"
    except OSError as error:
        return None, str(error)
    return merkle.verify_consistency(own.size, own.root, later.size, later.root, proof), ""
