"""A receipt as JSON: what is proven, and what follows from it in words and lines of arithmetic.

Everything but the bytes themselves follows from them. So whoever verifies writes the document again from the bytes,
and a word that was changed shows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, timedelta
from typing import Any, Final

from contracts import accounts, programmes
from contracts.commands import DecideAgain, RecordPack
from contracts.effects import Asset
from contracts.wire import cbor
from contracts.wire.packs import FLOWS
from services import contract_sets
from services.contract_sets import CarriedSets, ContractSet
from services.encoding import text_of
from services.ledger import entries, proofs
from services.ledger.client import Evidence, Input, Proven
from services.ledger.entries import Entry
from services.moments import rfc3339
from services.receipts import words
from services.receipts.committed import Committed, committed

FORMAT: Final = "sparks-receipt-v1"
_EPOCH: Final = date(1970, 1, 1)


class NotTheirs(Exception):
    """The entry is not about this customer."""


@dataclass(frozen=True, slots=True)
class Opened:
    """What the bytes of an entry's evidence say; of effects that are not shown, nothing.

    command    as the contract set reads it that executed it, None where nobody has that set and this program cannot
    contracts  that set, None where nobody has it
    """

    entry: Entry
    command: Any
    contracts: ContractSet | None
    committed: Committed | None
    result: Mapping[str, Any]


def opened(evidence: Evidence, contracts: ContractSet | None) -> Opened:
    """Read the bytes; those that cannot be read raise ValueError.

    contracts  the set that executed the entry, None where nobody has it
    """
    return Opened(
        entry=entries.from_bytes(evidence.proven.entry),
        command=_command(evidence.request, contracts),
        contracts=contracts,
        committed=committed(evidence.proven.effects) if evidence.proven.effects else None,
        result=cbor.decode(evidence.result) if evidence.result else {},
    )


def _command(request: bytes, contracts: ContractSet | None) -> Any:
    if contracts is not None:
        return contracts.commands.from_bytes(request).command
    try:
        return _own().commands.from_bytes(request).command
    except (ValueError, TypeError):
        return None


def _own() -> ContractSet:
    return contract_sets.own(programmes.load().name)


def issue(evidence: Evidence, sets: CarriedSets, *, customer_id: str, keys: str) -> dict[str, Any]:
    """The receipt of an entry out of a ledger that carries `sets`; see `write`."""
    version = entries.from_bytes(evidence.proven.entry).contract_version
    parameters_file = None if version == _own().version else sets.parameters_file(version)
    return write(evidence, sets.of(version), customer_id=customer_id, keys=keys, parameters_file=parameters_file)


def write(
    evidence: Evidence,
    contracts: ContractSet | None,
    *,
    customer_id: str,
    keys: str,
    parameters_file: str | None,
    told_postings: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """The receipt of an entry for a customer. Raises NotTheirs, ValueError (unreadable bytes), Unexplained.

    Effects that name somebody else are left out, and then nothing proves the postings.

    contracts        the set that executed the entry, None where nobody has it
    keys             as `/log/keys` names them
    parameters_file  the TOML file of that set, for who has the same code with other parameters; None where none is told
    told_postings    the postings of a receipt whose effects were left out
    """
    told = opened(evidence, contracts)
    if not _is_about(told, evidence, customer_id):
        raise NotTheirs
    is_whole = told.committed is not None and told.committed.names_only(customer_id)
    postings = _postings(told.committed, customer_id) if told.committed else told_postings or []
    return {
        "format": FORMAT,
        "index": evidence.proven.index,
        "at": rfc3339(told.entry.at_s),
        "kind": told.entry.kind,
        "customer_id": customer_id,
        "words": words.of_entry(told.entry, told.result if is_whole else {}, postings),
        "contract_version": told.entry.contract_version.hex(),
        **({} if parameters_file is None else {"parameters_file": parameters_file}),
        "postings": postings,
        "postings_are_proven": is_whole,
        "answer": _plain(told.result) if is_whole else None,
        "pack": _pack(evidence, told, customer_id),
        "evidence": {
            "entry": text_of(evidence.proven.entry),
            "request": {"bytes": text_of(evidence.request), "salt": text_of(evidence.request_salt)},
            "effects": _effects(evidence.proven) if is_whole else None,
            "result": text_of(evidence.result) if is_whole else None,
        },
        "proof": proofs.write(evidence.proven.index, evidence.proven.path, evidence.checkpoint),
        "keys": keys,
    }


def _is_about(told: Opened, evidence: Evidence, customer_id: str) -> bool:
    """Does it name the customer, or decide a pack of a unit that was theirs then?"""
    unit = _row(told, evidence, "unit")
    holder = unit.holder if unit else None
    named = (told.result.get("holder"), getattr(told.command, "customer_id", None), holder)
    return told.committed is None or customer_id in told.committed.people or customer_id in named


def _row(told: Opened, evidence: Evidence, kind: str) -> Any:
    """The input of this kind as the contract set reads it, or None."""
    rows = (told.contracts or _own()).state
    found = next((read for read in evidence.inputs if read.key.startswith(f"{kind}/")), None)
    return rows.from_bytes(found.key, found.value) if found else None


def _postings(effects: Committed, customer_id: str) -> list[dict[str, Any]]:
    """What moved on the customer's own accounts."""
    names = {accounts.customer(customer_id): "free", accounts.held(customer_id): "held"}
    return [
        {"asset": asset, "account": names[account], "micro_sparks": amount}
        for asset, account, amount in effects.postings
        if account in names and asset in (Asset.SPARK, Asset.DEFERRED)
    ]


def _effects(proven: Proven) -> dict[str, str]:
    return {"bytes": text_of(proven.effects), "salt": text_of(proven.effects_salt)}


# A pack


def is_pack(told: Opened) -> bool:
    """Was a pack decided, accepted or refused?"""
    return told.entry.kind in (RecordPack.KIND, DecideAgain.KIND)


def view_of(evidence: Evidence, entry: Entry, contracts: ContractSet) -> Any:
    """The state that the inputs tell, before the entry, as `contracts` reads it."""
    rows = {read.key: contracts.state.from_bytes(read.key, read.value) for read in evidence.inputs}
    return contracts.memory.Memory(contracts.programme, at_s=entry.at_s, index=evidence.proven.index, rows=rows)


def _pack(evidence: Evidence, told: Opened, customer_id: str) -> dict[str, Any] | None:
    """Readings, what the award was computed from, and how; None of an entry that decides no pack."""
    if not is_pack(told) or told.command is None:
        return None
    contracts = told.contracts
    content = (contracts or _own()).recording.content_of(told.command.message)
    intervals = getattr(content, "intervals", ())  # of a pack that can be read; a gap pack and a bad one have none
    can_show = contracts is not None and bool(evidence.inputs) and not _rests_on_earlier_holder(told, evidence)
    explained = None
    if contracts is not None and can_show and intervals and told.result["outcome"] == "accepted":
        explained = contracts.explanation.explain(view_of(evidence, told.entry, contracts), told.command)
    return {
        "device_id": told.command.device_id,
        "message": text_of(told.command.message),
        "readings": [_reading(interval) for interval in intervals],
        "inputs": [_input(read, customer_id, contracts) for read in evidence.inputs] if contracts and can_show else [],
        "parameters": dict(sorted(explained.parameters.items())) if explained else None,
        "arithmetic": _arithmetic(explained, contracts.explanation.RULES) if contracts and explained else None,
    }


def _rests_on_earlier_holder(told: Opened, evidence: Evidence) -> bool:
    """On the day of a change of holder, what a pack rests on would tell of the holder before."""
    unit, meter = _row(told, evidence, "unit"), _row(told, evidence, "meter")
    if unit is None or meter is None or not unit.had_holder:
        return False
    return any(run[0] < unit.held_from_s for run in (*meter.day_runs, *meter.recent))


def _reading(interval: Any) -> dict[str, Any]:
    energies = {name: getattr(interval, name) for name in (*FLOWS, "soc_pct")}
    return {"start_at": rfc3339(interval.start_s), "duration_s": interval.duration_s} | energies


def _arithmetic(explained: Any, rules: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {
            "start_at": rfc3339(one.start_s),
            "local_date": (_EPOCH + timedelta(days=one.local_day)).isoformat(),
            "period": one.period,
            "level": one.level,
            "counts_for_holder": one.counts_for_holder,
            "chapters": [
                {"heading": heading, "lines": [step._asdict() for step in steps]} for heading, steps in one.chapters
            ],
            "micro_sparks": dict(zip(rules, one.micro_sparks, strict=True)),
        }
        for one in explained.intervals
    ]


def _input(read: Input, customer_id: str, contracts: ContractSet) -> dict[str, Any]:
    """A row in words and bytes, with the entry that wrote it unless that one names somebody else."""
    by = read.written_by
    row = contracts.state.from_bytes(read.key, read.value)
    shown: dict[str, Any] = {
        "key": read.key,
        "row": {field.name: _plain(getattr(row, field.name)) for field in fields(row)},
        "bytes": text_of(read.value),
        "written_by": by.index,
        "proof": None,
    }
    if committed(by.effects).names_only(customer_id):
        path = [text_of(node) for node in by.path]
        shown["proof"] = {"entry": text_of(by.entry), "effects": _effects(by), "path": path}
    return shown


def _plain(value: Any) -> Any:
    """A value as JSON has it; bytes in hex."""
    match value:
        case bytes():
            return value.hex()
        case Mapping():
            return {str(key): _plain(item) for key, item in value.items()}
        case str() | bool() | int() | None:
            return value
        case Sequence():
            return [_plain(item) for item in value]
    raise ValueError(f"a {type(value).__name__} in an answer")
