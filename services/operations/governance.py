"""The calls on members and on what they decide together.

Whoever has the scope `programme` proposes, and every present member. Reading is open to all, as the members are public;
an approval needs no token, because the signature says who it is from.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import fields
from typing import Annotated, Any, Final

from fastapi import APIRouter, Body, Depends, Query, Response
from fastapi.encoders import jsonable_encoder

from contracts import approvals, execute, state
from contracts.approvals import approve_bytes
from contracts.commands import BY_KIND
from contracts.governed import (
    ActivateContracts,
    AddMemberKey,
    AdmitMember,
    ChangeMember,
    Governed,
    RemoveMember,
    RetireMemberKey,
    SetQuorum,
)
from contracts.programmes import ALL_COLLECTIONS
from contracts.state import ActiveContracts, ContractFiles, Ledger, Member, Membership
from contracts.units import UnixSeconds
from services import calls
from services.encoding import bytes_of, cursor_of, place_of, text_of
from services.idempotency import Answer, Asked, asked_by, asked_by_anyone
from services.identity import Caller
from services.ledger.client import LedgerUnavailable
from services.moments import rfc3339
from services.operations import governance_shapes as shapes
from services.operations import keyring, proposals
from services.operations.office import Office
from services.operations.proposals import CARRIED, Proposal
from services.operations.proposers import member_of, proposer_of
from services.problems import Problem

MEMBERS_MAX: Final = 1_000
BYTES_SHOWN_MAX: Final = 1_024
"""Of a field of a proposal; the bytes to sign have all of it."""
PROPOSED: Final = (
    *("unknown_member", "member_exists", "invalid_member", "unknown_role", "invalid_cosign_name", "cosign_name_taken"),
    *("invalid_member_key", "key_not_proven", "unknown_member_key", "too_many_keys", "key_in_use", "last_govern_key"),
    "last_member",
    *("invalid_quorum", "quorum_out_of_reach", "malformed_bundle", "bundle_of_other_version", "invalid_parameters"),
    *("unknown_contracts", "contracts_active", "other_contracts", "too_many_proposals"),
)
"""Why no approval could carry what was proposed."""
APPROVED: Final = (
    *("unknown_proposal", "bad_approval", "approval_key_expired", "approver_not_member", "stale_serial"),
    *calls.KEY_OPTIONAL,
)


def governance_router(office: Office) -> APIRouter:
    """Return the router of `/v1/members`, `/v1/collections`, `/v1/contracts` and `/v1/proposals`."""
    router = APIRouter(prefix="/v1", tags=["governance"])
    _add_reading(router, office)
    _add_contracts(router, office)
    _add_deciding(router, office)
    return router


def _add_reading(router: APIRouter, office: Office) -> None:
    @router.get("/members", responses=calls.open_to_all())
    def list_members() -> shapes.Members:
        """Who is or was a member: role, keys with their validity, and how many decide."""
        ledger, membership = office.ledger.rows([state.LEDGER_KEY, state.MEMBERSHIP_KEY])
        present = membership if isinstance(membership, Membership) else Membership()
        members = [row for _, row in office.ledger.find("member", limit=MEMBERS_MAX) if isinstance(row, Member)]
        return shapes.Members(
            origin=ledger.origin if isinstance(ledger, Ledger) else "",
            serial=present.serial,
            quorum=present.quorum,
            at=rfc3339(office.clock.now_s()),
            key_s_default=office.sets.programme().member_key_s_default,
            approvals_needed=approvals.needed(office.sets.programme(), len(present.members)),
            items=[_member(office, member) for member in members],
        )

    @router.get("/collections", responses=calls.open_to_all())
    def list_collections() -> shapes.Collections:
        """Who is given the payloads of each collection: roles by the programme, and the members that have them now.

        A collection is a fixed word in the public entries and never names a person.
        """
        rows = (row for _, row in office.ledger.find("member", limit=MEMBERS_MAX) if isinstance(row, Member))
        return shapes.Collections(items=_collections(office, [row for row in rows if not row.removed_s]))

    @router.get("/proposals", responses=calls.open_to_all("invalid_cursor"))
    def list_proposals(cursor: str | None = None, limit: Annotated[int, Query(ge=1, le=50)] = 20) -> shapes.Proposals:
        """What was proposed, the newest first."""
        found = proposals.page(office, after=_place(cursor), limit=limit + 1)
        page = found[:limit]
        next_cursor = cursor_of(f"{page[-1].proposed_s}/{page[-1].id}") if len(found) > limit else None
        items = [shapes.Proposal(**_shown(office, proposal)) for proposal in page]
        return shapes.Proposals(items=items, next_cursor=next_cursor)

    @router.get("/proposals/{proposal_id}", responses=calls.open_to_all("unknown_proposal"))
    def show_proposal(proposal_id: shapes.ProposalId) -> shapes.ProposalToSign:
        """A proposal with the bytes that a member signs to approve it, and who did so far."""
        return _to_sign(office, proposals.found(office, proposal_id))


def _add_contracts(router: APIRouter, office: Office) -> None:
    @router.get("/contracts", responses=calls.open_to_all())
    def show_contracts() -> shapes.Contracts:
        """Which contract set executes what comes next, since which entry, and which one this program has itself."""
        opened, active = office.ledger.rows([state.LEDGER_KEY, state.ACTIVE_KEY])
        if not isinstance(opened, Ledger) or not isinstance(active, ActiveContracts):
            raise LedgerUnavailable("the ledger has not been opened yet")
        return shapes.Contracts(
            version=active.version.hex(),
            activated_at_entry=active.activated_at,
            program=execute.version(opened.programme).hex(),
        )

    @router.get(
        "/contracts/{version}",
        response_class=Response,
        responses=calls.open_to_all("unknown_contracts") | shapes.FILES_SERVED,
    )
    def contract_files(version: shapes.Sha256) -> Response:
        """All files of a contract set that is or was active: CBOR map of path to bytes, whose hash is the version."""
        (carried,) = office.ledger.rows([state.contracts_key(bytes.fromhex(version))])
        if not isinstance(carried, ContractFiles):
            raise Problem("unknown_contracts", "The ledger carries no such contract set.")
        return Response(carried.files, media_type=shapes.CBOR)


def _add_deciding(router: APIRouter, office: Office) -> None:
    caller = proposer_of(office)
    asking: Any = Depends(asked_by(caller))

    @router.post("/proposals", status_code=201, response_model=shapes.ProposalToSign, responses=calls.keyed(*PROPOSED))
    def propose(
        body: Annotated[shapes.ProposalBody, Body(examples=[{"kind": "set_quorum", "quorum": 2}])],
        who: Annotated[Caller, Depends(caller)],
        asked: Asked = asking,
    ) -> Response:
        """Propose a governed command; what no approval could carry is refused at once.

        With a token of the scope `programme`, or as a present member: `Authorization: Sparks-Member member="…",
        time="…" (Unix seconds), signature="…"`, signed by a `govern` key over the deterministic CBOR
        `["sparks-member-call", origin, member_id, "POST", path, time, Idempotency-Key as sent, SHA-256 of the body]`.
        A member has at most 8 proposals open, and makes at most 50 in a day (`too_many_proposals`).
        """

        def work() -> Answer:
            made = proposals.propose(office, asked, _command_of(office, body), proposed_by=who.subject)
            return Answer(201, jsonable_encoder(_to_sign(office, made)))

        return office.answers.answer(asked, work)

    @router.post(
        "/proposals/{proposal_id}/approvals",
        status_code=201,
        response_model=shapes.ProposalToSign,
        responses=calls.open_to_all(*APPROVED),
    )
    def approve(
        proposal_id: shapes.ProposalId,
        body: shapes.NewApproval,
        asked: Annotated[Asked | None, Depends(asked_by_anyone)],
    ) -> Response:
        """Approve a proposal; the last approval needed carries it to the ledger. Sent again, it changes nothing."""

        def work() -> Answer:
            signature = bytes_of(body.signature) or b""
            approved = proposals.approve(office, proposal_id, member_id=body.member_id, signature=signature)
            return Answer(201, jsonable_encoder(_to_sign(office, approved)))

        return office.answers.answer(asked, work)


# From a body to a command


def _command_of(office: Office, body: Any) -> Governed:
    """The governed command that a body proposes, under the serial of this moment."""
    now_s = office.clock.now_s()
    serial = _membership(office).serial
    match body:
        case shapes.AdmitMemberBody():
            keys = tuple((*_key(one), *_validity(office, one, now_s), _proof(one)) for one in body.keys)
            said = (body.member_id, body.name, body.role, body.url, body.cosign_name)
            return AdmitMember(serial, *said, keys, ())
        case shapes.ChangeMemberBody():
            member = _member_row(office, body.member_id)
            names = ("name", "role", "url", "cosign_name")
            given = {name: getattr(body, name) for name in names}
            changed = {name: getattr(member, name) if given[name] is None else given[name] for name in names}
            return ChangeMember(serial, body.member_id, approvals=(), **changed)
        case shapes.AddMemberKeyBody():
            own = _member_row(office, body.member_id).serial
            return AddMemberKey(own, body.member_id, *_key(body), *_validity(office, body, now_s), _proof(body), ())
        case shapes.RetireMemberKeyBody():
            own = _member_row(office, body.member_id).serial
            until_s = now_s if body.until_at is None else body.until_at
            return RetireMemberKey(own, body.member_id, _public_key(body.public_key), until_s, ())
        case shapes.RemoveMemberBody():
            return RemoveMember(serial, body.member_id, ())
        case shapes.SetQuorumBody():
            return SetQuorum(serial, body.quorum, ())
        case shapes.ActivateContractsBody():
            return _activation(serial, body)
    raise TypeError(f"no command of {type(body).__name__}")


def _activation(serial: int, body: shapes.ActivateContractsBody) -> ActivateContracts:
    return ActivateContracts(
        serial=serial,
        version=bytes.fromhex(body.version),
        files=None if body.files is None else bytes_of(body.files) or b"",
        parameters=None if body.parameters is None else body.parameters.encode(),
        simulation=bytes.fromhex(body.simulation or ""),
        approvals=(),
    )


def _key(key: shapes.NewMemberKey) -> tuple[bytes, str]:
    return _public_key(key.public_key), key.use


def _proof(key: shapes.NewMemberKey) -> bytes:
    return bytes_of(key.proof) or b""


def _public_key(text: str) -> bytes:
    return bytes_of(text) or b""


def _validity(office: Office, key: shapes.NewMemberKey, now_s: UnixSeconds) -> tuple[UnixSeconds, UnixSeconds]:
    from_s = now_s if key.from_at is None else key.from_at
    until_s = from_s + office.sets.programme().member_key_s_default if key.until_at is None else key.until_at
    return from_s, until_s


def _membership(office: Office) -> Membership:
    (row,) = office.ledger.rows([state.MEMBERSHIP_KEY])
    return row if isinstance(row, Membership) else Membership()


def _member_row(office: Office, member_id: str) -> Member:
    (row,) = office.ledger.rows([state.member_key(member_id)])
    if not isinstance(row, Member):
        raise Problem("unknown_member", "There is no such member.")
    return row


# From what there is to what is shown


def _shown(office: Office, proposal: Proposal) -> dict[str, Any]:
    command = proposal.command
    said = {field.name: _plain(getattr(command, field.name)) for field in fields(command) if field.name != "approvals"}
    is_carried = proposal.outcome == CARRIED
    return {
        "id": proposal.id,
        "kind": command.KIND,
        "state": "open" if not proposal.outcome else "carried" if is_carried else "refused",
        "reason": proposal.outcome if proposal.outcome and not is_carried else None,
        "fields": said,
        "digest": hashlib.sha256(_signed_bytes(office, command)).hexdigest(),
        "proposed_at": rfc3339(proposal.proposed_s),
        "proposed_by_member": member_of(proposal.proposed_by),
        "approvals": [member_id for member_id, _ in proposal.approvals],
        "needed": proposal.needed,
        "entry_index": proposal.entry_index,
    }


def _to_sign(office: Office, proposal: Proposal) -> shapes.ProposalToSign:
    to_sign = text_of(_signed_bytes(office, proposal.command))
    return shapes.ProposalToSign(**_shown(office, proposal), to_sign=to_sign)


def _signed_bytes(office: Office, command: Governed) -> bytes:
    return approve_bytes(office.ledger.head().origin, command)


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        is_short = len(value) <= BYTES_SHOWN_MAX
        return text_of(value) if is_short else f"{len(value)} bytes, SHA-256 {hashlib.sha256(value).hexdigest()}"
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _member(office: Office, member: Member) -> shapes.Member:
    now_s = office.clock.now_s()
    return shapes.Member(
        member_id=member.member_id,
        name=member.name,
        role=member.role,
        collections=list(office.sets.programme().role_collections.get(member.role, ())),
        url=member.url,
        cosign_name=member.cosign_name,
        serial=member.serial,
        keys=_keys(office, member, now_s),
        admitted_at=rfc3339(member.admitted_s),
        removed_at=rfc3339(member.removed_s) if member.removed_s else None,
    )


def _collections(office: Office, present: Sequence[Member]) -> list[shapes.Collection]:
    given = office.sets.programme().role_collections
    items = []
    for name in sorted({command.COLLECTION for command in BY_KIND.values()}):
        roles = sorted(role for role, words in given.items() if name in words or ALL_COLLECTIONS in words)
        members = sorted(member.member_id for member in present if member.role in roles)
        items.append(shapes.Collection(collection=name, roles=roles, members=members))
    return items


def _keys(office: Office, member: Member, now_s: UnixSeconds) -> Sequence[shapes.MemberKey]:
    return [
        shapes.MemberKey(
            public_key=text_of(key.public_key),
            use=key.use,
            name=key.name,
            from_at=rfc3339(key.from_s),
            until_at=rfc3339(key.until_s),
            days_left=keyring.days_left(key, now_s),
            state=keyring.state_of(key, member, now_s, forecast_s=office.sets.programme().member_key_forecast_s),
        )
        for key in member.keys
    ]


def _place(cursor: str | None) -> tuple[UnixSeconds, str] | None:
    if cursor is None:
        return None
    moment, _, proposal_id = place_of(cursor).partition("/")
    if not moment.isdecimal() or not moment.isascii() or len(moment) > 18:
        raise Problem("invalid_cursor", "A cursor comes from next_cursor of the page before.")
    return int(moment), proposal_id
