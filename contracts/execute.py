"""The one door: `execute(view, command) -> Effects | Rejected`.

Pure: the same state, time and command give the same effects on every member's machine (design.md, One idea).
"""

from collections.abc import Callable
from functools import cache
from typing import Any, Final

from contracts import (
    accounts,
    bundle,
    departure,
    fleet,
    governance,
    membership,
    participation,
    recording,
    redemption,
    settlement,
    signals,
    state,
    statements,
)
from contracts.checkout import (
    AdmitRetailer,
    AttestRetailer,
    Authorize,
    Capture,
    ExpireHold,
    IssueCheckoutCode,
    Refund,
    SettleRetailer,
    Void,
)
from contracts.closing import CloseBooks, PublishStatement
from contracts.commands import (
    AttestIdentity,
    CancelEvent,
    ChooseLevel,
    ClaimUnit,
    CloseAccount,
    Command,
    CorrectUnit,
    DecideAgain,
    DeclareEvent,
    DeclareLost,
    DepositReserve,
    EnrollCustomer,
    EraseCustomer,
    FreezeCustomer,
    IssueClaimCode,
    LeaveUnit,
    OpenLedger,
    PublishSignal,
    RecordPack,
    RegisterUnit,
    ReleaseDeferred,
    ReplaceKey,
    SuspendUnit,
)
from contracts.effects import Asset, Draft, Effects, Reason, Rejected, UnfitKey
from contracts.governed import (
    ActivateContracts,
    AddMemberKey,
    AdmitMember,
    ChangeMember,
    RemoveMember,
    RetireMemberKey,
    SetQuorum,
)
from contracts.state import Unit, View

CONTRACTS: Final[dict[type[Command], Callable[[Draft, Any], Effects | Rejected]]] = {
    OpenLedger: governance.open_ledger,
    EnrollCustomer: participation.enroll,
    ChooseLevel: participation.choose_level,
    AttestIdentity: participation.attest_identity,
    FreezeCustomer: participation.freeze,
    ClaimUnit: participation.claim,
    LeaveUnit: participation.leave,
    CloseAccount: departure.close,
    EraseCustomer: departure.erase,
    RegisterUnit: fleet.register,
    CorrectUnit: fleet.correct,
    SuspendUnit: fleet.suspend,
    ReplaceKey: fleet.replace_key,
    IssueClaimCode: fleet.issue_claim_code,
    RecordPack: recording.record,
    DeclareLost: recording.declare_lost,
    DecideAgain: recording.decide_again,
    DeclareEvent: signals.declare,
    CancelEvent: signals.cancel,
    PublishSignal: signals.publish,
    DepositReserve: accounts.deposit,
    ReleaseDeferred: accounts.release,
    AdmitRetailer: settlement.admit,
    AttestRetailer: settlement.attest,
    SettleRetailer: settlement.settle,
    CloseBooks: statements.close,
    PublishStatement: statements.publish,
    IssueCheckoutCode: redemption.issue_code,
    Authorize: redemption.authorize,
    Capture: redemption.capture,
    Void: redemption.void,
    Refund: redemption.refund,
    ExpireHold: redemption.expire,
    AdmitMember: membership.admit,
    ChangeMember: membership.change,
    AddMemberKey: membership.add_key,
    RetireMemberKey: membership.retire_key,
    RemoveMember: membership.remove,
    SetQuorum: membership.set_quorum,
    ActivateContracts: governance.activate,
}


def execute(view: View, command: Command) -> Effects | Rejected:
    """What `command` does to the state in `view`, or why it does nothing."""
    try:
        return CONTRACTS[type(command)](Draft(view), command)
    except UnfitKey:
        return Rejected(Reason.INVALID_ID)


def first_reads(command: Command) -> tuple[str, ...]:
    """Keys that the command is sure to read, so that a batch can fetch them together."""
    match command:
        case RecordPack() | DeclareLost() | DecideAgain():
            return (state.unit_key(command.device_id), state.meter_key(command.device_id))
        case Authorize():
            return (
                state.purchase_key(command.authorization_id),
                state.retailer_key(command.retailer_id),
                state.code_key(command.code_hash),
            )
        case Capture() | Void() | Refund() | ExpireHold():
            return (state.purchase_key(command.authorization_id),)
        case IssueCheckoutCode():
            return (state.customer_key(command.customer_id), state.code_key(command.code_hash))
        case RegisterUnit():
            return (state.unit_key(command.device_id), state.claim_key(command.claim_hash))
        case _:
            return ()


def second_reads(view: View, command: Command) -> tuple[str, ...]:
    """Keys that follow from what the first reads found: those of a unit's holder, and of a day that it begins."""
    if not isinstance(command, RecordPack):
        return ()
    unit = view.get(state.unit_key(command.device_id))
    if not isinstance(unit, Unit):
        return ()
    days = recording.days_begun(view, command)
    if unit.holder is None:
        return days
    account = state.account_key(Asset.SPARK, accounts.customer(unit.holder))
    return (
        state.customer_key(unit.holder),
        state.earnings_key(unit.holder),
        state.avoided_key(unit.holder),
        account,
        *days,
    )


@cache
def version(programme: str = "ontario") -> bytes:
    """The contract set's version: SHA-256 over the contracts' code and the programme's parameters."""
    return bundle.version_of(bundle.own(programme))
