"""Verifies a receipt offline, with public keys only: signatures, commitments, paths, and the award to the integer.

Each step is a sentence; the first that does not hold raises Untrue and ends the verification. In the end the document
is written again from its own bytes and must be the same, so that no word or figure of it says something else.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from contracts import programmes, state
from contracts.commands import RecordPack
from services import contract_sets
from services.contract_sets import ContractSet
from services.encoding import bytes_of
from services.ledger import checkpoints, entries, merkle, notes, proofs
from services.ledger.checkpoints import Checkpoint
from services.ledger.client import Evidence, Input, Proven
from services.ledger.notes import KeyType, OpenedNote
from services.ledger.proofs import Proof
from services.receipts import document, keyring, words
from services.receipts.committed import Committed, committed
from services.receipts.document import FORMAT, NotTheirs, Opened
from services.receipts.keyring import Keyring

A = TypeVar("A")


class NoReceipt(ValueError):
    """This is no receipt, or none that can be read; the message is one line."""


class Untrue(Exception):
    """Something in the receipt does not hold; the message says what."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What was found to hold, in sentences.

    is_recomputed  the pack was decided again; else it is only proven to be on the ledger
    """

    index: int
    sentences: tuple[str, ...]
    is_recomputed: bool
    micro_sparks: int | None


def verify(given: object, trusted: Keyring | None = None, offered: bytes | None = None) -> Verified:
    """Verify a receipt as parsed from JSON. Raises NoReceipt, Untrue.

    trusted  the keys to believe; without them those that the receipt names itself
    offered  files of a contract set to execute besides this program's own: whoever verifies has named their hash
    """
    if not isinstance(given, Mapping) or given.get("format") != FORMAT:
        raise NoReceipt(f"not a receipt of the form {FORMAT}")
    own = keyring.parse(_text(given, "keys"))
    if own is None:
        raise NoReceipt("keys: not in the form of /log/keys")
    proof = proofs.parse(_text(given, "proof"))
    if proof is None:
        raise NoReceipt("proof: not a C2SP tlog-proof")
    evidence = _evidence(given, proof)
    sentences: list[str] = []
    checkpoint, cosigned = _checkpoint(proof, own, trusted)
    sentences.append(_signed_sentence(checkpoint, cosigned, own, trusted))
    _require_path(evidence.proven, checkpoint, "proof", f"entry {proof.index}")
    sentences.append(f"Entry {proof.index} is in the ledger of that checkpoint.")
    told = _opened(given, evidence, offered)
    if told.committed is None:
        sentences.append(
            "The entry commits to this request. It moved others' sparks too: what it moved here is not proven."
        )
    else:
        _require_commitments(evidence, told, told.committed)
        sentences.append("The entry commits to this request and to what came of it.")
    is_recomputed = False
    if document.is_pack(told):
        is_recomputed = _guarded(lambda: _verify_pack(evidence, told, checkpoint, sentences), "pack")
    _guarded(lambda: _require_same(given, evidence, told, own), "pack")
    left_out = "" if told.contracts is not None or not document.is_pack(told) else " but those of the award"
    sentences.append(f"Every other word and figure of the receipt{left_out} follows from these.")
    return Verified(proof.index, tuple(sentences), is_recomputed, told.result.get("micro_sparks"))


# Reading


def _evidence(given: Mapping[str, Any], proof: Proof) -> Evidence:
    parts = _map(given, "evidence")
    request, effects = _map(parts, "request"), parts.get("effects")
    pack = given.get("pack")
    inputs = pack.get("inputs", []) if isinstance(pack, Mapping) else []
    if not isinstance(inputs, list):
        raise NoReceipt("pack.inputs: not a list")
    shown = effects if isinstance(effects, Mapping) else {"bytes": "", "salt": ""}
    proven = Proven(
        proof.index, _bytes(parts, "entry"), _bytes(shown, "bytes"), _bytes(shown, "salt"), tuple(proof.hashes)
    )
    return Evidence(
        proven=proven,
        request=_bytes(request, "bytes"),
        request_salt=_bytes(request, "salt"),
        result=_bytes(parts, "result") if parts.get("result") is not None else b"",
        checkpoint=proof.checkpoint_note,
        inputs=tuple(_input(one) for one in inputs),
    )


def _input(given: object) -> Input:
    if not isinstance(given, Mapping) or type(given.get("written_by")) is not int:
        raise NoReceipt("pack.inputs: an input is a row with the entry that wrote it")
    shown = given.get("proof")
    proof = shown if isinstance(shown, Mapping) else None
    effects = _map(proof, "effects") if proof else {"bytes": "", "salt": ""}
    path = proof.get("path") if proof else []
    if not isinstance(path, list):
        raise NoReceipt("pack.inputs: a path is a list")
    by = Proven(
        given["written_by"],
        _bytes(proof, "entry") if proof else b"",
        _bytes(effects, "bytes"),
        _bytes(effects, "salt"),
        tuple(_bytes({"path": node}, "path") for node in path),
    )
    return Input(_text(given, "key"), _bytes(given, "bytes"), by)


def _text(given: Mapping[str, Any], name: str) -> str:
    value = given.get(name)
    if not isinstance(value, str):
        raise NoReceipt(f"{name}: a text is missing")
    return value


def _map(given: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = given.get(name)
    if not isinstance(value, Mapping):
        raise NoReceipt(f"{name} is missing")
    return value


def _bytes(given: Mapping[str, Any], name: str) -> bytes:
    value = bytes_of(_text(given, name))
    if value is None:
        raise NoReceipt(f"{name}: not base64url")
    return value


def _opened(given: Mapping[str, Any], evidence: Evidence, offered: bytes | None) -> Opened:
    try:
        entry = entries.from_bytes(evidence.proven.entry)
    except ValueError as error:
        raise Untrue(f"evidence.entry: {error}") from None
    if not _binds(evidence.request_salt, evidence.request, entry.command_commitment):
        raise Untrue("evidence.request: it is not what the entry commits to")
    contracts = _contracts(entry.contract_version, given.get("parameters_file"), offered)
    try:
        return document.opened(evidence, contracts)
    except ValueError as error:
        raise Untrue(f"evidence: {error}") from None


def _contracts(version: bytes, parameters_file: object, offered: bytes | None) -> ContractSet | None:
    """The contract set of this version, if it may be executed here: a receipt brings parameters, and never code."""
    if parameters_file is not None and not isinstance(parameters_file, str):
        raise NoReceipt("parameters_file: not a text")
    programme = programmes.load().name
    trusted = [files for files in (contract_sets.own_files(programme), offered) if files is not None]
    for files in trusted:
        parameters = None if parameters_file is None else parameters_file.encode()
        whole = files if parameters is None else contract_sets.with_parameters(files, programme, parameters)
        if contract_sets.version_of(whole) == version:
            return contract_sets.load(whole, programme=programme, version=version)
    if version in [contract_sets.version_of(files) for files in trusted]:
        raise Untrue("parameters_file: not the parameters of the contract set that executed the entry")
    return None


def _guarded(step: Callable[[], A], where: str) -> A:
    """Whatever forged rows make a contract raise, they do not hold."""
    try:
        return step()
    except (Untrue, NoReceipt):
        raise
    except Exception as error:
        raise Untrue(f"{where}: it cannot be computed from these rows ({type(error).__name__}: {error})") from None


# Holding


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


def _signed_sentence(checkpoint: Checkpoint, cosigned: int, own: Keyring, trusted: Keyring | None) -> str:
    ring = trusted or own
    whose = "" if trusted else " (the keys are the receipt's own: compare them with /log/keys, or give --keys)"
    by = f"the log {checkpoint.origin} and {cosigned} members" if ring.members else f"the log {checkpoint.origin}"
    return f"The checkpoint of {checkpoint.size} entries is signed by {by}{whose}."


def _require_path(proven: Proven, checkpoint: Checkpoint, where: str, what: str) -> None:
    leaf = merkle.leaf_hash(proven.entry)
    if not merkle.verify_inclusion(leaf, proven.index, checkpoint.size, proven.path, checkpoint.root):
        raise Untrue(f"{where}: {what} is not in the ledger of the checkpoint")


def _require_commitments(evidence: Evidence, told: Opened, effects: Committed) -> None:
    if not _binds(evidence.proven.effects_salt, evidence.proven.effects, told.entry.effects_commitment):
        raise Untrue("evidence.effects: they are not what the entry commits to")
    if entries.commitment(evidence.request_salt, evidence.result) != effects.answer:
        raise Untrue("evidence.result: it is not what the entry commits to")


def _binds(salt: bytes, data: bytes, commitment: bytes) -> bool:
    return len(salt) == entries.SALT_BYTES and entries.commitment(salt, data) == commitment


def _require_same(given: Mapping[str, Any], evidence: Evidence, told: Opened, own: Keyring) -> None:
    """Write the receipt again from its bytes, and compare. What only the missing contract set can tell is left out."""
    try:
        again = document.write(
            evidence,
            told.contracts,
            customer_id=_text(given, "customer_id"),
            keys=own.text(),
            parameters_file=given.get("parameters_file"),
            told_postings=given.get("postings"),
        )
    except NotTheirs:
        raise Untrue("customer_id: the entry is not about this customer") from None
    except ValueError as error:
        raise Untrue(f"pack: {error}") from None
    if told.contracts is None and document.is_pack(told):
        again, given = ({**one, "pack": None} for one in (again, given))
    place = _first_difference(again, given, "")
    if place is not None:
        raise Untrue(f"{place}: it does not follow from the evidence")


def _first_difference(right: Any, given: Any, place: str) -> str | None:
    """Where the two first differ, as a path; types count, so that 1 is not true."""
    if type(right) is not type(given):
        return place or "the receipt"
    if isinstance(right, dict):
        for name in (*right, *given):
            inner = f"{place}.{name}" if place else str(name)
            if name not in given or name not in right:
                return inner
            if (found := _first_difference(right[name], given[name], inner)) is not None:
                return found
        return None
    if isinstance(right, list):
        if len(right) != len(given):
            return place
        pairs = enumerate(zip(right, given, strict=True))
        return next((found for n, pair in pairs if (found := _first_difference(*pair, f"{place}[{n}]"))), None)
    return None if right == given else place


# The pack


def _verify_pack(evidence: Evidence, told: Opened, checkpoint: Checkpoint, sentences: list[str]) -> bool:
    """Check the inputs and execute the pack again; False if that cannot be done here."""
    if not evidence.inputs:
        sentences.append("What the pack was decided from is not in this receipt, so it was not computed again.")
        return False
    unproven = [read.key for read in evidence.inputs if not _is_input_proven(read, checkpoint)]
    if told.contracts is None:
        version = told.entry.contract_version.hex()
        sentences.append(
            f"The pack was decided by contract set {version}, which is not this program's, so it was not computed "
            "again: get that set and name it with --contracts."
        )
        return False
    if told.entry.kind == RecordPack.KIND:  # a second decision is of a message that was checked at its first
        _require_signed_pack(evidence, told, told.contracts)
        sentences.append("The readings are signed by the unit.")
    _require_executed(evidence, told, told.contracts)
    if unproven:
        sentences.append(f"Taken from the receipt without a proof: {', '.join(unproven)}.")
    if told.result["outcome"] == "refused":
        sentences.append(f"Decided again from the readings, the pack is refused: {told.result['reason']}.")
    else:
        amount = words.sparks(told.result["micro_sparks"])
        sentences.append(f"Computed again from the readings, the award is {amount}, to the integer.")
    return True


def _is_input_proven(read: Input, checkpoint: Checkpoint) -> bool:
    """Is the row what the entry named left? False if the receipt does not show that entry."""
    by, where = read.written_by, f"pack.inputs {read.key}"
    if not by.entry:
        return False
    _require_path(by, checkpoint, where, f"entry {by.index}")
    try:
        entry, wrote = entries.from_bytes(by.entry), committed(by.effects)
    except ValueError as error:
        raise Untrue(f"{where}: {error}") from None
    if not _binds(by.effects_salt, by.effects, entry.effects_commitment):
        raise Untrue(f"{where}: its effects are not what entry {by.index} commits to")
    if not wrote.wrote(read.key, read.value):
        raise Untrue(f"{where}: entry {by.index} did not leave this row")
    return True


def _require_signed_pack(evidence: Evidence, told: Opened, contracts: ContractSet) -> None:
    unit = document.view_of(evidence, told.entry, contracts).get(state.unit_key(told.command.device_id))
    if unit is None:
        raise Untrue("pack: the unit is missing")
    if not contracts.evidence.is_authentic(told.command, unit):
        raise Untrue("pack.message: the unit did not sign the readings")


def _require_executed(evidence: Evidence, told: Opened, contracts: ContractSet) -> None:
    view = document.view_of(evidence, told.entry, contracts)
    done = contracts.execute.execute(view, told.command)
    if not isinstance(done, contracts.effects.Effects):
        raise Untrue(f"pack: the contract does not accept the pack: {done.reason}")
    # Whether an award was minted or deferred is the reserve's matter: the postings say it.
    again, given = dict(done.result) | {"deferred": None}, dict(told.result) | {"deferred": None}
    if again != given:
        raise Untrue(f"pack: the answer is {given}, computed again it is {again}")
    device_id = told.command.device_id
    for key in (state.meter_key(device_id), state.pack_key(device_id, told.result["seq"])):
        row = done.writes.get(key)
        if row is None or told.committed is None or not told.committed.wrote(key, contracts.state.to_bytes(row)):
            raise Untrue(f"pack: computed again, the row {key} is another than the entry left")
