"""The statement of a day, and the proof to one account that it is counted, as JSON that people keep.

Everything but the bytes themselves follows from them, so whoever verifies writes the document again and compares.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from contracts.closing import PublishStatement
from contracts.state import Statement
from contracts.units import LocalDay, MicroSparks
from contracts.wire import cbor
from contracts.wire.liabilities import Node, Part
from services.encoding import text_of
from services.ledger import entries, proofs
from services.ledger.client import Evidence
from services.moments import rfc3339
from services.receipts.words import sparks
from services.statements.days import date_of

STATEMENT: Final = "sparks-statement-v1"
PROOF: Final = "sparks-liability-proof-v1"
FIGURES: Final = (
    "reserve_micro_cad",
    "paid_out_micro_cad",
    "issued_micro_sparks",
    "outstanding_micro_sparks",
    "owed_by_retailers_micro_sparks",
    "settled_micro_sparks",
    "fees_micro_sparks",
    "deferred_micro_sparks",
)


class NoStatement(ValueError):
    """The entry publishes no statement, or says something that a statement does not."""


def said_by(evidence: Evidence) -> tuple[LocalDay, Statement]:
    """The day and figures that an entry published. Raises NoStatement, ValueError (unreadable bytes)."""
    if entries.from_bytes(evidence.proven.entry).kind != PublishStatement.KIND:
        raise NoStatement("the entry publishes no statement")
    told = cbor.decode(evidence.result)
    fields = Statement.__dataclass_fields__
    if not isinstance(told, Mapping) or not told.keys() >= {"day", *fields}:
        raise NoStatement("the entry's answer is no statement")
    # A later contract set may say more.
    of_type = {name: bytes if name == "root" else int for name in ("day", *fields)}
    if any(type(told[name]) is not wanted for name, wanted in of_type.items()):
        raise NoStatement("a figure of the statement is no integer")
    return told["day"], Statement(**{name: told[name] for name in fields})


def root_in(statement: Statement) -> Node:
    """The root of the tree, with what the books say that it counts."""
    return Node(statement.root, statement.outstanding_micro_sparks, statement.deferred_micro_sparks)


def of_row(day: LocalDay, statement: Statement) -> dict[str, Any]:
    """The figures as they are listed."""
    return {
        "date": date_of(day).isoformat(),
        "index": statement.published_at,
        "closed_at": rfc3339(statement.closed_s),
        "size": statement.closed_at + 1,
        **{name: getattr(statement, name) for name in FIGURES},
        "tree": {"root": text_of(statement.root), "depth": statement.depth},
    }


def lines_of(told: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The figures of a statement as people read them, by name."""
    amounts = []
    for name in FIGURES:
        words, _, unit = name.rpartition("_micro_")
        amounts.append((words.replace("_", " "), sparks(told[name]) if unit == "sparks" else f"CAD {_cad(told[name])}"))
    held = f"at {told['closed_at']}, with {told['size']} entries"
    return [("date", told["date"]), ("closed", held), *amounts, ("root", told["tree"]["root"])]


def of_statement(evidence: Evidence, *, keys: str) -> dict[str, Any]:
    """The statement that an entry published, with all that proves it. Raises NoStatement, ValueError."""
    day, statement = said_by(evidence)
    entry = entries.from_bytes(evidence.proven.entry)
    return {
        "format": STATEMENT,
        **of_row(day, statement),
        "words": _words(day, statement),
        "contract_version": entry.contract_version.hex(),
        "evidence": {
            "entry": text_of(evidence.proven.entry),
            "request": {"bytes": text_of(evidence.request), "salt": text_of(evidence.request_salt)},
            "effects": {"bytes": text_of(evidence.proven.effects), "salt": text_of(evidence.proven.effects_salt)},
            "result": text_of(evidence.result),
        },
        "proof": proofs.write(evidence.proven.index, evidence.proven.path, evidence.checkpoint),
        "keys": keys,
    }


def of_account(account: str, parts: Sequence[Part], statement: Mapping[str, Any]) -> dict[str, Any]:
    """The proof that these parts of an account are counted in a statement (`of_statement`)."""
    owed, deferred = sum(part.micro_sparks for part in parts), sum(part.deferred_micro_sparks for part in parts)
    return {
        "format": PROOF,
        "account": account,
        "micro_sparks": owed,
        "deferred_micro_sparks": deferred,
        "words": _words_of(owed, deferred, statement),
        "leaves": [
            {
                "place": part.place,
                "salt": text_of(part.salt),
                "micro_sparks": part.micro_sparks,
                "deferred_micro_sparks": part.deferred_micro_sparks,
                "path": [
                    {
                        "hash": text_of(node.hash),
                        "micro_sparks": node.micro_sparks,
                        "deferred_micro_sparks": node.deferred_micro_sparks,
                    }
                    for node in part.path
                ],
            }
            for part in parts
        ],
        "statement": dict(statement),
    }


def _words(day: LocalDay, statement: Statement) -> list[str]:
    return [
        f"The books of {date_of(day).isoformat()}, closed at {rfc3339(statement.closed_s)}.",
        f"Issued since the beginning: {sparks(statement.issued_micro_sparks)}.",
        f"Owed to customers and retailers: {sparks(statement.outstanding_micro_sparks)}.",
        f"Owed by retailers, for refunds: {sparks(statement.owed_by_retailers_micro_sparks)}.",
        f"Settled: {sparks(statement.settled_micro_sparks)}. Fees: {sparks(statement.fees_micro_sparks)}.",
        f"Waiting for funds, and in none of these: {sparks(statement.deferred_micro_sparks)}.",
        f"The reserve: CAD {_cad(statement.reserve_micro_cad)}.",
    ]


def _words_of(owed: MicroSparks, deferred: MicroSparks, statement: Mapping[str, Any]) -> list[str]:
    lines = [f"When the books of {statement['date']} were closed, the balance was {sparks(owed)}, held ones included."]
    if deferred:
        lines.append(f"{sparks(deferred)} waited for funds.")
    return lines


def _cad(micro_cad: int) -> str:
    whole, rest = divmod(micro_cad, 1_000_000)
    return f"{whole:,}.{rest:06}"
