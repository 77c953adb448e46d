"""Which contract set executes: the first one comes with the log's first entry.

The files of a set travel in the command, so that every copy of the ledger holds what it needs to execute every entry.
"""

from contracts import bundle, state
from contracts.commands import OpenLedger
from contracts.effects import Draft, Effects, Reason, Rejected
from contracts.state import ActiveContracts, ContractFiles, Ledger


def open_ledger(draft: Draft, command: OpenLedger) -> Effects | Rejected:
    """Begin a log, under the set whose files the command carries."""
    if draft.get(state.LEDGER_KEY, Ledger) is not None:
        return Rejected(Reason.LEDGER_ALREADY_OPEN)
    try:
        version = bundle.version_of(bundle.from_bytes(command.files))
    except ValueError:
        return Rejected(Reason.MALFORMED_BUNDLE)
    draft.put(state.LEDGER_KEY, Ledger(command.origin, command.programme))
    _activate(draft, version, command.files)
    return draft.effects(origin=command.origin, contracts=version)


def _activate(draft: Draft, version: bytes, files: bytes) -> None:
    draft.put(state.contracts_key(version), ContractFiles(files))
    draft.put(state.ACTIVE_KEY, ActiveContracts(version, draft.index))
