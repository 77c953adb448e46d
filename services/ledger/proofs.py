"""C2SP tlog-proof files: one entry's place in the log, which anyone who knows the keys can check offline."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from services.ledger import checkpoints, merkle, notes
from services.ledger.merkle import HASH_BYTES
from services.ledger.notes import KeyType, OpenedNote, VerifierKey

_HEADER: Final = "c2sp.org/tlog-proof@v1"
_INDEX: Final = re.compile(r"index (0|[1-9][0-9]{0,18})")
_HASHES_MAX: Final = 63


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What a proof file says, none of it checked yet.

    index            the entry's place, from 0
    hashes           path to the root, the leaf's sibling first
    checkpoint_note  a signed note
    extra            what the writer added; nothing authenticates it
    """

    index: int
    hashes: tuple[bytes, ...]
    checkpoint_note: bytes
    extra: bytes | None


def write(index: int, hashes: Sequence[bytes], checkpoint_note: bytes, extra: bytes | None = None) -> str:
    """Return the proof file of entry `index` under the checkpoint that `checkpoint_note` signs."""
    lines = [_HEADER]
    if extra is not None:
        lines.append(f"extra {notes.base64_text(extra)}")
    lines.append(f"index {index}")
    lines.extend(notes.base64_text(node) for node in hashes)
    return "\n".join(lines) + "\n\n" + checkpoint_note.decode()


def parse(text: str) -> Proof | None:
    """Return what a proof file says, or None if it is malformed."""
    head, empty_line, note = text.partition("\n\n")
    header, *lines = head.split("\n")
    if header != _HEADER or not empty_line:
        return None
    extra = None
    if lines and lines[0].startswith("extra "):
        extra = notes.base64_bytes(lines.pop(0).removeprefix("extra "))
        if extra is None:
            return None
    index = _INDEX.fullmatch(lines[0]) if lines else None
    hashes = [notes.base64_bytes(line) for line in lines[1:]]
    whole = tuple(node for node in hashes if node is not None and len(node) == HASH_BYTES)
    if index is None or len(whole) != len(hashes) or len(whole) > _HASHES_MAX:
        return None
    # A lone surrogate has no UTF-8: its bytes pass here, and opening the note refuses them.
    note_bytes = note.encode(errors="surrogatepass")
    return Proof(index=int(index[1]), hashes=whole, checkpoint_note=note_bytes, extra=extra)


def verify(proof_text: str, entry: bytes, log: VerifierKey, witnesses: Iterable[VerifierKey], quorum: int) -> bool:
    """Tell whether the file proves `entry` in the log, under a checkpoint of its key and `quorum` witnesses.

    The checkpoint's origin must be the log key's name. Only cosignatures (type 0x04) count, and a public key
    counts once: the message of a cosignature does not name its signer, so one key may appear under two names.
    """
    proof = parse(proof_text)
    if proof is None:
        return False
    witness_keys = frozenset(witnesses)
    opened = notes.open_note(proof.checkpoint_note, {log, *witness_keys})
    if not isinstance(opened, OpenedNote):
        return False
    checkpoint = checkpoints.parse(opened.text)
    signers = {signature.key for signature in opened.signatures}
    if checkpoint is None or checkpoint.origin != log.name or log not in signers:
        return False
    cosigners = {key.public_key for key in signers & witness_keys if key.type is KeyType.COSIGNATURE}
    leaf = merkle.leaf_hash(entry)
    return len(cosigners) >= quorum and merkle.verify_inclusion(
        leaf, proof.index, checkpoint.size, proof.hashes, checkpoint.root
    )
