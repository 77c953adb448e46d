"""One entry that was sent, step by step: is the payload what it commits to, and does executing it do what it says?

Each step raises Disagreed with the entry and both values.
"""

from collections.abc import Callable
from typing import Any, Final

from contracts.commands import OpenLedger
from contracts.effects import Outline
from contracts.evidence import Check
from contracts.state import View
from contracts.wire import signatures
from services.contract_sets import ContractSet
from services.ledger import entries
from services.ledger.deliveries import Payload
from services.ledger.differing import disagree, first_difference, shown
from services.ledger.entries import Entry
from services.ledger.hashed import UnknownRow

AMOUNT_MAX: Final = 2**63 - 1
FORGED: Final = (ValueError, TypeError, LookupError, ArithmeticError, AttributeError)
"""What a forged command makes a contract raise."""


def check_version(contracts: ContractSet, index: int, entry: Entry) -> None:
    """Does the entry name the active contract set?"""
    if entry.contract_version != contracts.version:
        disagree(index, "entries", "contract set", contracts.version.hex(), entry.contract_version.hex())


def request_of(contracts: ContractSet, index: int, entry: Entry, payload: Payload) -> Any:
    """The request that the entry commits to, as the active contract set reads it; None if it is erased."""
    check_version(contracts, index, entry)
    if payload.request is None or payload.request_salt is None or payload.result is None:
        if entry.kind not in contracts.derivation.PERSONAL:
            disagree(index, "payloads", f"the request of {entry.kind} is not delivered", "a request", "none")
        _bind(index, "effects", payload.effects_salt, payload.effects, entry.effects_commitment)
        return None
    _bind(index, "request", payload.request_salt, payload.request, entry.command_commitment)
    _bind(index, "effects", payload.effects_salt, payload.effects, entry.effects_commitment)
    try:
        request = contracts.commands.from_bytes(payload.request)
    except (ValueError, TypeError) as error:
        disagree(index, "payloads", "the request cannot be read", "a request", str(error))
    command = request.command
    if (command.KIND == OpenLedger.KIND) is not (index == 0):
        disagree(index, "payloads", "a log is opened by its first entry", str(index == 0), command.KIND)
    said, meant = (entry.kind, entry.collection), (command.KIND, command.COLLECTION)
    if said != meant:
        disagree(index, "entries", "kind and collection", " in ".join(meant), " in ".join(said))
    return request


def check_of(contracts: ContractSet, command: Any, unit: Any) -> Check | bool:
    """The signature that decides whether the command is authentic, or the answer where none does; raises FORGED."""
    check = contracts.evidence.check_of(command, unit if isinstance(unit, contracts.state.Unit) else None)
    # Another contract set has a type of its own.
    return check if isinstance(check, bool) else Check(*check)


def execute(
    contracts: ContractSet,
    index: int,
    view: View,
    command: Any,
    *,
    unit: Any,
    is_valid: Callable[[Check], bool] = lambda check: signatures.verify(*check),
) -> Any:
    """The effects of the command on `view`; `unit` is the row of the unit that it names. Raises UnknownRow too."""
    try:
        check = check_of(contracts, command, unit)
        if not (check if isinstance(check, bool) else is_valid(check)):
            disagree(index, "payloads", "the unit's signature", "not valid", "recorded")
        done = contracts.execute.execute(view, command)
    except UnknownRow:
        raise
    except FORGED as error:
        disagree(index, "payloads", "executing it raises", repr(error), "effects")
    if isinstance(done, contracts.effects.Rejected):
        disagree(index, "payloads", "the contract", f"rejects it: {done.reason}", "effects")
    return done


def compare(contracts: ContractSet, index: int, done: Any, payload: Payload) -> dict[str, bytes | None]:
    """Are these the effects and the result that were sent? Returns the rows written, as stored."""
    effects = contracts.effects
    rows: dict[str, bytes | None] = effects.row_bytes(done)
    result = effects.result_bytes(done)
    made = effects.to_bytes(done, command_salt=payload.request_salt or b"", rows=rows, result=result)
    if made != payload.effects:
        disagree(index, "payloads", *first_difference(made, payload.effects))
    if result != payload.result:
        disagree(index, "payloads", "result", shown(result), shown(payload.result or b""))
    return rows


def outline_of(contracts: ContractSet, index: int, payload: Payload) -> Outline:
    """What the effects of an entry that is taken as committed say; their legs sum to zero."""
    try:
        outline: Outline = contracts.effects.outline(payload.effects)
    except (ValueError, TypeError) as error:
        disagree(index, "payloads", "the effects cannot be read", "effects", str(error))
    if not (all(map(_is_leg, outline.postings)) and all(_is_write(*written) for written in outline.written.items())):
        disagree(index, "payloads", "the effects cannot be read", "postings and hashes of rows", payload.effects.hex())
    for asset in {posting.asset for posting in outline.postings}:
        total = sum(posting.amount for posting in outline.postings if posting.asset == asset)
        if total:
            disagree(index, "postings", f"the legs in {asset} sum to", "0", str(total))
    return outline


def _is_leg(posting: Any) -> bool:
    asset, account, amount = posting
    return all(map(_is_text, (asset, account))) and type(amount) is int and abs(amount) <= AMOUNT_MAX


def _is_write(key: object, sha256: object) -> bool:
    return _is_text(key) and (sha256 is None or (isinstance(sha256, bytes) and len(sha256) == entries.HASH_BYTES))


def _is_text(value: object) -> bool:
    """Is it a text that any database takes?"""
    return isinstance(value, str) and "\0" not in value


def _bind(index: int, what: str, salt: bytes, data: bytes, commitment: bytes) -> None:
    found = entries.commitment(salt, data) if len(salt) == entries.SALT_BYTES else b""
    if found != commitment:
        disagree(index, "payloads", f"the {what} is not what the entry commits to", found.hex(), commitment.hex())
