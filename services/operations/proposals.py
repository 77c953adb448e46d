"""Governed commands on their way: kept with the approvals that come one by one, asked of the ledger once they do.

A proposal is one ledger request, whose id follows from the call that made it. Whatever dies between an approval and
the note of what the ledger answered, the same request is asked again and answered as the first time.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import Row, and_, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from contracts import commands
from contracts.commands import Request
from contracts.effects import Reason
from contracts.governed import Approvals, Governed
from contracts.units import DAY_S, UnixSeconds
from services.contract_sets import ContractSet, NotInThisSet
from services.database import is_sqlite, reading, transaction
from services.idempotency import Asked, outcome_of, rejected
from services.ledger.client import Declined, Ledger, Running, reason_of
from services.operations.office import Office
from services.operations.proposers import member_of
from services.operations.tables import ApprovalRow, ProposalRow
from services.problems import Problem

CARRIED: Final = "carried"
ID_BYTES: Final = 32
OPEN_MAX: Final = 8
IN_A_DAY_MAX: Final = 50
"""Of one member: proposals open at a time, and proposals made in a day."""
_FOR_THE_MOMENT: Final = frozenset(
    {
        Reason.TOO_FEW_APPROVALS,
        Reason.APPROVAL_KEY_EXPIRED,
        Reason.APPROVER_NOT_MEMBER,
        Reason.BAD_APPROVAL,
    }
)
"""What the ledger may answer to a proposal that other approvals can still carry."""
_PROPOSALS: Final = ProposalRow.__table__  # type: ignore[attr-defined]
_APPROVALS: Final = ApprovalRow.__table__  # type: ignore[attr-defined]
_INSERT_BY_DIALECT: Final[dict[bool, Any]] = {True: sqlite.insert, False: postgresql.insert}


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A governed command and who approved it so far.

    request      what the ledger is asked; its command has no approvals yet
    outcome      empty while it is open, `carried`, or the reason why it never will be
    approvals    whose signature counts now, or counted when it was carried
    needed       how many are needed in all, None where it is closed
    """

    id: str
    request: Request
    proposed_by: str
    proposed_s: UnixSeconds
    outcome: str
    entry_index: int | None
    approvals: Approvals
    needed: int | None = None

    @property
    def command(self) -> Governed:
        """The command as it is signed."""
        command: Any = self.request.command
        return command  # type: ignore[no-any-return]


class _Present:
    """The committed state now, as the active contract set reads it: in it a proposal is tried before it is asked."""

    def __init__(self, ledger: Ledger, contracts: ContractSet, at_s: UnixSeconds) -> None:
        self.programme = contracts.programme
        self.at_s = at_s
        self.index = 0
        self._ledger = ledger
        self._contracts = contracts
        self._rows: dict[str, Any] = {}

    def get(self, key: str) -> Any:
        """The row under `key`, or None."""
        if key not in self._rows:
            (data,) = self._ledger.stored([key])
            self._rows[key] = None if data is None else self._contracts.state.from_bytes(key, data)
        return self._rows[key]


def propose(office: Office, asked: Asked, command: Governed, *, proposed_by: str) -> Proposal:
    """Keep a governed command for its approvals; one that no approval could carry is a problem now.

    A member that has proposed much is asked to wait, so that none can fill the disk: `too_many_proposals`.
    """
    if member_of(proposed_by) is not None and not _is_known(office, asked.id.hex()):
        _require_few(office, proposed_by)
    refused = _refusal(office, command)
    if refused is not None and refused.reason is not Reason.TOO_FEW_APPROVALS:
        raise rejected(refused)
    row = {
        "id": asked.id.hex(),
        "kind": command.KIND,
        "request": commands.to_bytes(Request(asked.id, asked.digest, command)),
        "proposed_by": proposed_by,
        "proposed_s": office.clock.now_s(),
        "outcome": "",
    }
    insert = _INSERT_BY_DIALECT[is_sqlite(office.engine)](_PROPOSALS).values(row).on_conflict_do_nothing()
    with transaction(office.engine) as session:
        session.execute(insert)
    return found(office, asked.id.hex())


def _require_few(office: Office, proposed_by: str) -> None:
    mine = _PROPOSALS.c.proposed_by == proposed_by
    newest = select(_PROPOSALS.c.id).where(mine, _PROPOSALS.c.outcome == "").limit(OPEN_MAX)
    in_a_day = select(func.count()).where(mine, _PROPOSALS.c.proposed_s > office.clock.now_s() - DAY_S)
    with reading(office.engine) as session:
        ids = list(session.execute(newest).scalars())
        made = session.execute(in_a_day).scalar_one()
    is_full = len(ids) == OPEN_MAX and all(not found(office, proposal_id).outcome for proposal_id in ids)
    if is_full or made >= IN_A_DAY_MAX:
        detail = f"A member has at most {OPEN_MAX} proposals open, and makes at most {IN_A_DAY_MAX} in a day."
        raise Problem("too_many_proposals", detail)


def _is_known(office: Office, proposal_id: str) -> bool:
    with reading(office.engine) as session:
        return session.execute(select(_PROPOSALS.c.id).where(_PROPOSALS.c.id == proposal_id)).first() is not None


def approve(office: Office, proposal_id: str, *, member_id: str, signature: bytes) -> Proposal:
    """Keep a member's signature and carry the proposal if it was the last one needed.

    A signature that does not count is a problem, and is not kept. Under a closed proposal nothing is kept.
    """
    proposal = _stored(office, proposal_id)
    if not proposal.outcome:
        refused = _refusal(office, replace(proposal.command, approvals=((member_id, signature),)))
        if refused is not None and refused.reason not in (Reason.TOO_FEW_APPROVALS, Reason.STALE_SERIAL):
            raise rejected(refused)
        if refused is None or refused.reason is not Reason.STALE_SERIAL:
            _keep(office, proposal_id, member_id, signature)
    settled = found(office, proposal_id)
    if settled.outcome not in ("", CARRIED):
        raise rejected(Declined(Reason(settled.outcome)))
    return settled


def found(office: Office, proposal_id: str) -> Proposal:
    """A proposal as it stands now, closed first if its time has come; an unknown one is a problem."""
    return _settle(office, _stored(office, proposal_id))


def page(office: Office, *, after: tuple[UnixSeconds, str] | None, limit: int) -> list[Proposal]:
    """Proposals that come after the moment and id of another, the newest first; each as `found` gives it."""
    query = select(_PROPOSALS.c.id).order_by(_PROPOSALS.c.proposed_s.desc(), _PROPOSALS.c.id).limit(limit)
    if after is not None:
        at_s, proposal_id = after
        same_s = and_(_PROPOSALS.c.proposed_s == at_s, _PROPOSALS.c.id > proposal_id)
        query = query.where(or_(_PROPOSALS.c.proposed_s < at_s, same_s))
    with reading(office.engine) as session:
        ids = list(session.execute(query).scalars())
    return [found(office, proposal_id) for proposal_id in ids]


def _settle(office: Office, proposal: Proposal) -> Proposal:
    """Ask the ledger for an open proposal that is approved, or for one that may have been carried before a crash."""
    if proposal.outcome:
        return proposal
    counted = tuple(approval for approval in proposal.approvals if _counts(office, proposal.command, approval))
    refused = _refusal(office, replace(proposal.command, approvals=counted))
    if refused is not None and refused.reason is Reason.TOO_FEW_APPROVALS:
        return replace(proposal, approvals=counted, needed=refused.facts["needed"])
    whole = counted if refused is None else proposal.approvals
    request = replace(proposal.request, command=replace(proposal.command, approvals=whole))
    (outcome,) = office.ledger.submit([request])
    if isinstance(outcome, Running) or (isinstance(outcome, Declined) and outcome.reason in _FOR_THE_MOMENT):
        return proposal  # another call asks at the same moment, or a key ended just now
    if isinstance(outcome, Declined):
        closed = replace(proposal, outcome=str(outcome.reason))
    else:
        closed = replace(proposal, outcome=CARRIED, entry_index=outcome_of(outcome).index)
    _close(office, closed)
    return closed


def _refusal(office: Office, command: Governed) -> Declined | None:
    """Why the ledger would decline the command now, by the contracts that are active there; None: it would not."""
    contracts = office.sets.active()
    try:
        asked = contracts.request(Request(bytes(ID_BYTES), bytes(ID_BYTES), command))
    except NotInThisSet:
        return Declined(Reason.OTHER_CONTRACTS)
    done = contracts.execute.execute(_Present(office.ledger, contracts, office.clock.now_s()), asked.command)
    if not isinstance(done, contracts.effects.Rejected):
        return None
    return Declined(reason_of(str(done.reason)), dict(done.facts))


def _counts(office: Office, command: Governed, approval: tuple[str, bytes]) -> bool:
    """Does this signature count by itself, now?"""
    refused = _refusal(office, replace(command, approvals=(approval,)))
    return refused is None or refused.reason is Reason.TOO_FEW_APPROVALS


# Rows


def _stored(office: Office, proposal_id: str) -> Proposal:
    signed = select(_APPROVALS).where(_APPROVALS.c.proposal_id == proposal_id).order_by(_APPROVALS.c.member_id)
    with reading(office.engine) as session:
        row = session.execute(select(_PROPOSALS).where(_PROPOSALS.c.id == proposal_id)).first()
        approvals = session.execute(signed).all()
    if row is None:
        raise Problem("unknown_proposal", "There is no such proposal.")
    return _proposal(row, approvals)


def _proposal(row: Row[Any], approvals: Sequence[Row[Any]]) -> Proposal:
    return Proposal(
        id=row.id,
        request=commands.from_bytes(row.request),
        proposed_by=row.proposed_by,
        proposed_s=row.proposed_s,
        outcome=row.outcome,
        entry_index=row.entry_index,
        approvals=tuple((signed.member_id, signed.signature) for signed in approvals),
    )


def _keep(office: Office, proposal_id: str, member_id: str, signature: bytes) -> None:
    row = {
        "proposal_id": proposal_id,
        "member_id": member_id,
        "signature": signature,
        "approved_s": office.clock.now_s(),
    }
    insert = _INSERT_BY_DIALECT[is_sqlite(office.engine)](_APPROVALS).values(row)
    newest = {"signature": insert.excluded.signature, "approved_s": insert.excluded.approved_s}
    statement = insert.on_conflict_do_update(index_elements=["proposal_id", "member_id"], set_=newest)
    with transaction(office.engine) as session:
        session.execute(statement)


def _close(office: Office, proposal: Proposal) -> None:
    values = {"outcome": proposal.outcome, "entry_index": proposal.entry_index}
    with transaction(office.engine) as session:
        session.execute(update(_PROPOSALS).where(_PROPOSALS.c.id == proposal.id).values(values))
