"""C2SP tlog-witness: when a checkpoint is co-signed, and what is answered when it is not (standards.md 1.6)."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from contracts.units import UnixSeconds
from services.ledger import checkpoints, merkle, notes
from services.ledger.checkpoints import Checkpoint
from services.ledger.merkle import EMPTY_ROOT, HASH_BYTES
from services.ledger.notes import OpenedNote, VerifierKey
from services.member.memory import Cosigned, Memory

SIZE_TYPE: Final = "text/x.tlog.size"
PROOF_LINES_MAX: Final = 63
_OLD: Final = re.compile(r"old (0|[1-9][0-9]{0,18})")


class Agreement(Enum):
    """What the member's own copy says of a tree."""

    AGREES = "executed here, with the same root"
    BEHIND = "not all of it is executed here yet"
    REFUSED = "something of it disagrees with what is here"
    OTHER_COLLECTIONS = "this copy is not of the collections that the member's role sees"


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer; `size` in the body has its own media type."""

    status: int
    body: str = ""

    @property
    def media_type(self) -> str:
        """By which the caller reads the body."""
        return SIZE_TYPE if self.status == 409 else "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Asked:
    """A body of add-checkpoint as it was parsed."""

    old_size: int
    proof: tuple[bytes, ...]
    note: bytes


class Witness:
    """Co-signs for one log with one key.

    agreement  is asked for what the log has signed; only AGREES is co-signed
    """

    def __init__(
        self,
        memory: Memory,
        *,
        log_key: VerifierKey,
        name: str,
        seed: bytes,
        now_s: Callable[[], UnixSeconds],
        agreement: Callable[[Checkpoint, bytes], Agreement],
    ) -> None:
        self._memory = memory
        self._log_key = log_key
        self._name = name
        self._seed = seed
        self._now_s = now_s
        self._agreement = agreement

    def add(self, body: bytes) -> Answer:
        """Answer one POST; what is co-signed is on disk before this returns."""
        asked = parse(body)
        if asked is None:
            return Answer(400, "malformed\n")
        said = checkpoints.parse(asked.note.decode(errors="replace").rpartition("\n\n")[0] + "\n")
        if said is None:
            return Answer(400, "malformed\n")
        if said.origin != self._log_key.name:
            return Answer(404, "unknown origin\n")
        if not isinstance(notes.open_note(asked.note, [self._log_key]), OpenedNote):
            return Answer(403, "not signed by the log\n")
        before = self._memory.cosigned(said.origin)
        refused = refusal(asked, said, before)
        if refused is not None and refused.status != 422:
            return refused
        # A tree that does not continue what was signed is looked at all the same: it may prove a fork.
        found = self._agreement(said, asked.note)
        if refused is not None or found in (Agreement.REFUSED, Agreement.OTHER_COLLECTIONS):
            return refused or Answer(422, f"{found.value}\n")
        if found is Agreement.BEHIND:
            return Answer(503, f"{found.value}\n")
        return self._cosign(said, asked.note, before)

    def _cosign(self, said: Checkpoint, note: bytes, before: Cosigned | None) -> Answer:
        line = notes.cosignature_line(said.text(), name=self._name, seed=self._seed, time_s=self._now_s())
        log_lines = note.decode().rpartition("\n\n")[2]
        own = next(kept for kept in log_lines.splitlines(keepends=True) if self._is_the_logs(said, kept))
        cosigned = Cosigned(said.size, said.root, notes.sign_note(said.text(), [own, line]))
        if not self._memory.sign(said.origin, before, cosigned):
            now = self._memory.cosigned(said.origin)
            return Answer(409, f"{now.size if now else 0}\n")
        return Answer(200, line)

    def _is_the_logs(self, said: Checkpoint, line: str) -> bool:
        return isinstance(notes.open_note(f"{said.text()}\n{line}".encode(), [self._log_key]), OpenedNote)


def parse(body: bytes) -> Asked | None:
    """What a body asks, or None if it is malformed."""
    head, empty_line, note = body.partition(b"\n\n")
    try:
        first, *lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError:
        return None
    old = _OLD.fullmatch(first)
    hashes = [notes.base64_bytes(line) for line in lines]
    proof = tuple(node for node in hashes if node is not None and len(node) == HASH_BYTES)
    if old is None or not empty_line or len(proof) != len(lines) or len(lines) > PROOF_LINES_MAX:
        return None
    return Asked(int(old[1]), proof, note)


def refusal(asked: Asked, said: Checkpoint, before: Cosigned | None) -> Answer | None:
    """Why a checkpoint of the log is not to be co-signed after `before`, in the specification's order."""
    old_size, old_root = (before.size, before.root) if before else (0, EMPTY_ROOT)
    if asked.old_size > said.size:
        return Answer(400, "old is above the checkpoint's size\n")
    if asked.old_size != old_size:
        return Answer(409, f"{old_size}\n")
    if not merkle.verify_consistency(old_size, old_root, said.size, said.root, asked.proof):
        return Answer(422, "the proof does not hold\n")
    return None
