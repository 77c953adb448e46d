"""Verifies a statement, or the proof that one account is counted in it, offline and with public keys only.

Each step is a sentence; the first that does not hold raises Untrue and ends the verification.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from contracts.state import Statement
from contracts.units import MICRO_SPARKS_PER_MICRO_CAD, MicroSparks
from contracts.wire import liabilities
from contracts.wire.liabilities import DEPTH_MAX, Node, Part
from services.moments import rfc3339
from services.receipts.checks import (
    NoReceipt,
    Untrue,
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
from services.receipts.keyring import Keyring
from services.receipts.words import sparks
from services.statements import document
from services.statements.document import PROOF, STATEMENT

LEAVES_MAX: Final = 1_000


@dataclass(frozen=True, slots=True)
class Verified:
    """What was found to hold, in sentences.

    account, micro_sparks, deferred_micro_sparks  None of a statement alone
    """

    date: str
    index: int
    sentences: tuple[str, ...]
    account: str | None = None
    micro_sparks: MicroSparks | None = None
    deferred_micro_sparks: MicroSparks | None = None


def verify(given: object, trusted: Keyring | None = None) -> Verified:
    """Verify a statement or a proof as parsed from JSON. Raises NoReceipt, Untrue.

    trusted  the keys to believe; without them those that the document names itself
    """
    if isinstance(given, Mapping) and given.get("format") == STATEMENT:
        return _verify_statement(given, trusted)[1]
    if isinstance(given, Mapping) and given.get("format") == PROOF:
        return _verify_account(given, trusted)
    raise NoReceipt(f"not a document of the form {STATEMENT} or {PROOF}")


def _verify_statement(given: Mapping[str, Any], trusted: Keyring | None) -> tuple[Statement, Verified]:
    own, proof = keys_in(given), proof_in(given)
    evidence = evidence_in(given, proof)
    checkpoint, signed = checkpoint_of(proof, own, trusted)
    require_path(evidence.proven, checkpoint, "proof", f"entry {proof.index}")
    entry = entry_in(evidence)
    try:
        require_commitments(evidence, entry, committed(evidence.proven.effects))
        _, statement = document.said_by(evidence)
        again = document.of_statement(evidence, keys=own.text())
    except (ValueError, OverflowError) as error:
        raise Untrue(f"evidence: {error}") from None
    place = first_difference(again, given, "")
    if place is not None:
        raise Untrue(f"{place}: it does not follow from the evidence")
    sentences = (
        signed,
        f"Entry {proof.index} is in the ledger of that checkpoint, and commits to this statement.",
        *_balanced(statement),
    )
    return statement, Verified(again["date"], proof.index, sentences)


def _balanced(statement: Statement) -> tuple[str, ...]:
    """The promises that the figures must keep."""
    parts = (statement.outstanding_micro_sparks, statement.settled_micro_sparks, statement.fees_micro_sparks)
    if statement.issued_micro_sparks != sum(parts) - statement.owed_by_retailers_micro_sparks:
        raise Untrue("issued_micro_sparks: it is not what is outstanding, settled and fees, less what retailers owe")
    owed = statement.outstanding_micro_sparks - statement.owed_by_retailers_micro_sparks
    if owed > statement.reserve_micro_cad * MICRO_SPARKS_PER_MICRO_CAD:
        raise Untrue("reserve_micro_cad: it does not fund what is outstanding")
    return (
        "All that was issued is outstanding, settled or fees, but for what retailers owe.",
        f"The reserve funds what is outstanding, {sparks(owed)}.",
    )


def _verify_account(given: Mapping[str, Any], trusted: Keyring | None) -> Verified:
    inner = map_in(given, "statement")
    if inner.get("format") != STATEMENT:
        raise NoReceipt(f"statement: not of the form {STATEMENT}")
    statement, verified = _verify_statement(inner, trusted)
    account, parts = text_in(given, "account"), _parts(given)
    flaw = liabilities.flaw(account, parts, root=document.root_in(statement), depth=statement.depth)
    if flaw is not None:
        raise Untrue(f"leaves: {flaw}")
    again = document.of_account(account, parts, inner)
    place = first_difference(again, given, "")
    if place is not None:
        raise Untrue(f"{place}: it does not follow from the leaves")
    owed, deferred = again["micro_sparks"], again["deferred_micro_sparks"]
    waiting = f", and {sparks(deferred)} that wait for funds" if deferred else ""
    counted = (
        f"In {len(parts)} leaves of its tree, {sparks(owed)}{waiting} of {account} are counted."
        if parts
        else f"It counts nothing of {account}: is it true that the balance was {sparks(0)}?"
    )
    compare = f"Compare that with the balance at {rfc3339(statement.closed_s)}, held sparks included."
    sentences = (*verified.sentences, counted, compare)
    return Verified(verified.date, verified.index, sentences, account, owed, deferred)


def _parts(given: Mapping[str, Any]) -> list[Part]:
    leaves = given.get("leaves")
    if not isinstance(leaves, list) or len(leaves) > LEAVES_MAX:
        raise NoReceipt("leaves: not a list")
    return [_part(leaf) for leaf in leaves]


def _part(given: object) -> Part:
    if not isinstance(given, Mapping):
        raise NoReceipt("leaves: a leaf is an object")
    path = given.get("path")
    if not isinstance(path, list) or len(path) > DEPTH_MAX:
        raise NoReceipt("leaves: a path is a list")
    amounts = _integer(given, "micro_sparks"), _integer(given, "deferred_micro_sparks")
    return Part(_integer(given, "place"), bytes_in(given, "salt"), *amounts, tuple(_node(node) for node in path))


def _node(given: object) -> Node:
    if not isinstance(given, Mapping):
        raise NoReceipt("leaves: a node is an object")
    return Node(bytes_in(given, "hash"), _integer(given, "micro_sparks"), _integer(given, "deferred_micro_sparks"))


def _integer(given: Mapping[str, Any], name: str) -> int:
    value = given.get(name)
    if type(value) is not int:
        raise NoReceipt(f"leaves: {name} is no integer")
    return value
