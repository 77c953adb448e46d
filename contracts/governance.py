"""Which contract set executes: the first one comes with the log's first entry, every other by the members' approval.

The files of a set travel in the command, so that every copy of the ledger holds what it needs to execute every entry.
"""

from dataclasses import fields
from typing import Final

from contracts import approvals, bundle, programmes, state
from contracts.commands import OpenLedger
from contracts.effects import Draft, Effects, Reason, Rejected
from contracts.governed import ActivateContracts
from contracts.programmes import Programme
from contracts.state import ActiveContracts, ContractFiles, Ledger
from contracts.units import BP_ONE

HASH_BYTES: Final = 32
_UNREADABLE: Final = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)
"""What a file that is no programme makes its reader raise."""


def open_ledger(draft: Draft, command: OpenLedger) -> Effects | Rejected:
    """Begin a log, under the set whose files the command carries."""
    if draft.get(state.LEDGER_KEY, Ledger) is not None:
        return Rejected(Reason.LEDGER_ALREADY_OPEN)
    try:
        version = bundle.version_of(bundle.from_bytes(command.files))
    except ValueError:
        return Rejected(Reason.MALFORMED_BUNDLE)
    draft.put(state.LEDGER_KEY, Ledger(command.origin, command.programme))
    draft.put(state.contracts_key(version), ContractFiles(command.files))
    draft.put(state.ACTIVE_KEY, ActiveContracts(version, draft.index))
    return draft.effects(origin=command.origin, contracts=version)


def activate(draft: Draft, command: ActivateContracts) -> Effects | Rejected:
    """Make another set active from the next entry on. Without members there is nobody to approve it, and it stays."""
    membership = approvals.membership_of(draft)
    active = draft.get(state.ACTIVE_KEY, ActiveContracts)
    if command.serial != membership.serial:
        return Rejected(Reason.STALE_SERIAL, {"serial": membership.serial})
    if len(command.simulation) not in (0, HASH_BYTES):
        return Rejected(Reason.INVALID_SIMULATION)
    if active is None:
        return Rejected(Reason.UNKNOWN_CONTRACTS)
    if active.version == command.version:
        return Rejected(Reason.CONTRACTS_ACTIVE)
    carried = _files(draft, command, active)
    if isinstance(carried, Reason):
        return Rejected(carried)
    if not membership.members:
        return Rejected(Reason.TOO_FEW_APPROVALS, {"needed": 1, "given": 0})
    refused = approvals.refusal(draft, command)
    if refused is not None:
        return refused
    approvals.count(draft, membership)
    draft.put(state.contracts_key(command.version), ContractFiles(carried))
    draft.put(state.ACTIVE_KEY, ActiveContracts(command.version, draft.index))
    return draft.effects(version=command.version, before=active.version, simulation=command.simulation)


def _files(draft: Draft, command: ActivateContracts, active: ActiveContracts) -> bytes | Reason:
    """The files of the set that the command names, or why it has none."""
    if command.files is None and command.parameters is None:
        known = draft.get(state.contracts_key(command.version), ContractFiles)
        return known.files if known else Reason.UNKNOWN_CONTRACTS
    if command.files is not None and command.parameters is not None:
        return Reason.MALFORMED_BUNDLE
    try:
        sources = bundle.from_bytes(command.files if command.files is not None else _active_files(draft, active))
    except ValueError:
        return Reason.MALFORMED_BUNDLE
    if command.parameters is not None:
        ledger = draft.get(state.LEDGER_KEY, Ledger)
        programme = ledger.programme if ledger else draft.programme.name
        if not _is_programme(command.parameters, programme):
            return Reason.INVALID_PARAMETERS
        sources = bundle.with_parameters(sources, programme, command.parameters)
    return bundle.to_bytes(sources) if bundle.version_of(sources) == command.version else Reason.BUNDLE_OF_OTHER_VERSION


def _active_files(draft: Draft, active: ActiveContracts) -> bytes:
    carried = draft.get(state.contracts_key(active.version), ContractFiles)
    if carried is None:
        raise LookupError("the active contract set has no files")
    return carried.files


def _is_programme(parameters: bytes, name: str) -> bool:
    """Can these be the parameters of the programme, each number an integer, under which members still decide?"""
    try:
        read = programmes.parse(parameters.decode())
    except _UNREADABLE:
        return False
    numbers = (getattr(read, field.name) for field in fields(Programme) if field.type is int)
    if read.name != name or not all(type(number) is int for number in numbers):
        return False
    # From all of them on nobody could ever decide again; below none, anybody could.
    return 0 <= read.approvals_above_bp < BP_ONE
