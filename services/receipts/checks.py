"""What is checked of every document that people keep: the keys, the checkpoint, the entry under it, its commitments.

The first thing that does not hold raises Untrue; what cannot be read raises NoReceipt.
"""

from collections.abc import Mapping
from typing import Any

from services.encoding import bytes_of
from services.ledger import checkpoints, entries, merkle, notes, proofs
from services.ledger.checkpoints import Checkpoint
from services.ledger.client import Evidence, Proven
from services.ledger.entries import Entry
from services.ledger.notes import KeyType, OpenedNote
from services.ledger.proofs import Proof
from services.receipts import keyring
from services.receipts.committed import Committed
from services.receipts.keyring import Keyring


class NoReceipt(ValueError):
    """This is no document of the form expected, or none that can be read; the message is one line."""


class Untrue(Exception):
    """Something in the document does not hold; the message says what."""


# Reading


def text_in(given: Mapping[str, Any], name: str) -> str:
    """The text under a name."""
    value = given.get(name)
    if not isinstance(value, str):
        raise NoReceipt(f"{name}: a text is missing")
    return value


def map_in(given: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The object under a name."""
    value = given.get(name)
    if not isinstance(value, Mapping):
        raise NoReceipt(f"{name} is missing")
    return value


def bytes_in(given: Mapping[str, Any], name: str) -> bytes:
    """The bytes that a text under a name says in base64url."""
    value = bytes_of(text_in(given, name))
    if value is None:
        raise NoReceipt(f"{name}: not base64url")
    return value


def keys_in(given: Mapping[str, Any]) -> Keyring:
    """The keys that a document names itself."""
    own = keyring.parse(text_in(given, "keys"))
    if own is None:
        raise NoReceipt("keys: not in the form of /log/keys")
    return own


def proof_in(given: Mapping[str, Any]) -> Proof:
    """Its C2SP tlog-proof."""
    proof = proofs.parse(text_in(given, "proof"))
    if proof is None:
        raise NoReceipt("proof: not a C2SP tlog-proof")
    return proof


def evidence_in(given: Mapping[str, Any], proof: Proof) -> Evidence:
    """The bytes behind the entry, without inputs; effects that are not shown are empty."""
    parts = map_in(given, "evidence")
    request, effects = map_in(parts, "request"), parts.get("effects")
    shown = effects if isinstance(effects, Mapping) else {"bytes": "", "salt": ""}
    proven = Proven(
        proof.index, bytes_in(parts, "entry"), bytes_in(shown, "bytes"), bytes_in(shown, "salt"), tuple(proof.hashes)
    )
    return Evidence(
        proven=proven,
        request=bytes_in(request, "bytes"),
        request_salt=bytes_in(request, "salt"),
        result=bytes_in(parts, "result") if parts.get("result") is not None else b"",
        checkpoint=proof.checkpoint_note,
        inputs=(),
    )


# Holding


def entry_in(evidence: Evidence) -> Entry:
    """The entry, which commits to the request."""
    try:
        entry = entries.from_bytes(evidence.proven.entry)
    except ValueError as error:
        raise Untrue(f"evidence.entry: {error}") from None
    if not binds(evidence.request_salt, evidence.request, entry.command_commitment):
        raise Untrue("evidence.request: it is not what the entry commits to")
    return entry


def checkpoint_of(proof: Proof, own: Keyring, trusted: Keyring | None) -> tuple[Checkpoint, str]:
    """The checkpoint, signed by the log and the members that are trusted, and the sentence that says so."""
    checkpoint, cosigned = _checkpoint(proof, own, trusted)
    ring = trusted or own
    whose = "" if trusted else " (the keys are the document's own: compare them with /log/keys, or give --keys)"
    by = f"the log {checkpoint.origin} and {cosigned} members" if ring.members else f"the log {checkpoint.origin}"
    return checkpoint, f"The checkpoint of {checkpoint.size} entries is signed by {by}{whose}."


def _checkpoint(proof: Proof, own: Keyring, trusted: Keyring | None) -> tuple[Checkpoint, int]:
    """The checkpoint, signed by the log that is trusted, and how many of the trusted members co-signed it."""
    ring = trusted or own
    opened = notes.open_note(proof.checkpoint_note, {own.log, *own.members, ring.log, *ring.members})
    if not isinstance(opened, OpenedNote):
        raise Untrue(f"proof: the checkpoint's signatures do not hold ({opened.value})")
    checkpoint = checkpoints.parse(opened.text)
    signers = {signature.key for signature in opened.signatures}
    if checkpoint is None or ring.log not in signers or checkpoint.origin != ring.log.name:
        raise Untrue(f"proof: the checkpoint is not signed by the log {ring.log.name}")
    if len(opened.signatures) != proof.checkpoint_note.decode().rpartition("\n\n")[2].count("\n"):
        raise Untrue("proof: the checkpoint bears a signature of nobody whom the keys name")
    members = {key.public_key for key in signers & {*ring.members} if key.type is KeyType.COSIGNATURE}
    if len(members) < ring.quorum:
        raise Untrue(f"proof: {len(members)} members co-signed the checkpoint, and {ring.quorum} must")
    return checkpoint, len(members)


def require_path(proven: Proven, checkpoint: Checkpoint, where: str, what: str) -> None:
    """Raise Untrue unless the entry is in the checkpoint's tree."""
    leaf = merkle.leaf_hash(proven.entry)
    if not merkle.verify_inclusion(leaf, proven.index, checkpoint.size, proven.path, checkpoint.root):
        raise Untrue(f"{where}: {what} is not in the ledger of the checkpoint")


def require_commitments(evidence: Evidence, entry: Entry, effects: Committed) -> None:
    """Raise Untrue unless the entry commits to the effects, and these to the result."""
    if not binds(evidence.proven.effects_salt, evidence.proven.effects, entry.effects_commitment):
        raise Untrue("evidence.effects: they are not what the entry commits to")
    if entries.commitment(evidence.request_salt, evidence.result) != effects.answer:
        raise Untrue("evidence.result: it is not what the entry commits to")


def binds(salt: bytes, data: bytes, commitment: bytes) -> bool:
    """Is this a commitment to the data under the salt?"""
    return len(salt) == entries.SALT_BYTES and entries.commitment(salt, data) == commitment


def first_difference(right: Any, given: Any, place: str) -> str | None:
    """Where the two first differ, as a path; types count, so that 1 is not true."""
    if type(right) is not type(given):
        return place or "the receipt"
    if isinstance(right, dict):
        for name in (*right, *given):
            inner = f"{place}.{name}" if place else str(name)
            if name not in given or name not in right:
                return inner
            if (found := first_difference(right[name], given[name], inner)) is not None:
                return found
        return None
    if isinstance(right, list):
        if len(right) != len(given):
            return place
        pairs = enumerate(zip(right, given, strict=True))
        return next((found for n, pair in pairs if (found := first_difference(*pair, f"{place}[{n}]"))), None)
    return None if right == given else place
