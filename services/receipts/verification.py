"""Verifies a receipt offline, with public keys only: signatures, commitments, paths, and the award to the integer.

Each step is a sentence; the first that does not hold raises Untrue and ends the verification. In the end the document
is written again from its own bytes and must be the same, so that no word or figure of it says something else.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from contracts import programmes, state
from contracts.commands import RecordPack
from services import contract_sets
from services.contract_sets import ContractSet
from services.ledger import entries
from services.ledger.checkpoints import Checkpoint
from services.ledger.client import Evidence, Input, Proven
from services.ledger.proofs import Proof
from services.receipts import document, words
from services.receipts.checks import (
    NoReceipt,
    Untrue,
    binds,
    bytes_in,
    checkpoint_of,
    entry_in,
    evidence_in,
    first_difference,
    keys_in,
    map_in,
    proof_in,
    require_commitments,
    require_path,
    text_in,
)
from services.receipts.committed import committed
from services.receipts.document import FORMAT, NotTheirs, Opened
from services.receipts.keyring import Keyring

A = TypeVar("A")


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
    own, proof = keys_in(given), proof_in(given)
    evidence = _evidence(given, proof)
    checkpoint, signed = checkpoint_of(proof, own, trusted)
    sentences = [signed]
    require_path(evidence.proven, checkpoint, "proof", f"entry {proof.index}")
    sentences.append(f"Entry {proof.index} is in the ledger of that checkpoint.")
    told = _opened(given, evidence, offered)
    if told.committed is None:
        sentences.append(
            "The entry commits to this request. It moved others' sparks too: what it moved here is not proven."
        )
    else:
        require_commitments(evidence, told.entry, told.committed)
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
    pack = given.get("pack")
    inputs = pack.get("inputs", []) if isinstance(pack, Mapping) else []
    if not isinstance(inputs, list):
        raise NoReceipt("pack.inputs: not a list")
    return replace(evidence_in(given, proof), inputs=tuple(_input(one) for one in inputs))


def _input(given: object) -> Input:
    if not isinstance(given, Mapping) or type(given.get("written_by")) is not int:
        raise NoReceipt("pack.inputs: an input is a row with the entry that wrote it")
    shown = given.get("proof")
    proof = shown if isinstance(shown, Mapping) else None
    effects = map_in(proof, "effects") if proof else {"bytes": "", "salt": ""}
    path = proof.get("path") if proof else []
    if not isinstance(path, list):
        raise NoReceipt("pack.inputs: a path is a list")
    by = Proven(
        given["written_by"],
        bytes_in(proof, "entry") if proof else b"",
        bytes_in(effects, "bytes"),
        bytes_in(effects, "salt"),
        tuple(bytes_in({"path": node}, "path") for node in path),
    )
    return Input(text_in(given, "key"), bytes_in(given, "bytes"), by)


def _opened(given: Mapping[str, Any], evidence: Evidence, offered: bytes | None) -> Opened:
    entry = entry_in(evidence)
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


def _require_same(given: Mapping[str, Any], evidence: Evidence, told: Opened, own: Keyring) -> None:
    """Write the receipt again from its bytes, and compare. What only the missing contract set can tell is left out."""
    try:
        again = document.write(
            evidence,
            told.contracts,
            customer_id=text_in(given, "customer_id"),
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
    place = first_difference(again, given, "")
    if place is not None:
        raise Untrue(f"{place}: it does not follow from the evidence")


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
    require_path(by, checkpoint, where, f"entry {by.index}")
    try:
        entry, wrote = entries.from_bytes(by.entry), committed(by.effects)
    except ValueError as error:
        raise Untrue(f"{where}: {error}") from None
    if not binds(by.effects_salt, by.effects, entry.effects_commitment):
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
