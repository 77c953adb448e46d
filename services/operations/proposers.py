"""Who may propose: a client with the scope `programme`, or any present member in its own name (`member_calls`)."""

from collections.abc import Awaitable, Callable
from typing import Final

from fastapi import Request
from fastapi.concurrency import run_in_threadpool

from contracts import state
from contracts.approvals import signer_key
from contracts.state import Ledger, Member, MemberKey, Membership
from services import member_calls
from services.identity import Caller, Scope, ShownToken
from services.member_calls import SCHEME, TOLERANCE_S, MemberCall
from services.operations.office import Office
from services.problems import Problem

_MEMBER: Final = "member:"
"""What the subject of a member begins with; no client's id has a colon."""


def proposer_of(office: Office) -> Callable[..., Awaitable[Caller]]:
    """Return the dependency for whoever proposes."""
    by_token = office.tokens.organisation(Scope.PROGRAMME)

    async def proposer(request: Request, shown: ShownToken) -> Caller:
        authorization = request.headers.get("authorization", "")
        if not authorization.startswith(f"{SCHEME} "):
            return await by_token(shown)
        return await run_in_threadpool(_member, office, request, authorization, await request.body())

    return proposer


def member_of(subject: str) -> str | None:
    """The member that a subject is, or None: a client."""
    return subject.removeprefix(_MEMBER) if subject.startswith(_MEMBER) else None


def _member(office: Office, request: Request, authorization: str, body: bytes) -> Caller:
    """The present member that signed this call with a `govern` key that is valid now."""
    shown = member_calls.parse(authorization)
    if shown is None or abs(shown.time_s - office.wall_clock.now_s()) > TOLERANCE_S:
        raise _unauthorized()
    keys = [state.LEDGER_KEY, state.MEMBERSHIP_KEY, state.member_key(shown.member_id)]
    opened, membership, member = office.ledger.rows(keys)
    is_present = isinstance(membership, Membership) and shown.member_id in membership.members
    if not is_present or not isinstance(member, Member) or not isinstance(opened, Ledger):
        raise _unauthorized()
    call = MemberCall(
        origin=opened.origin,
        member_id=shown.member_id,
        method=request.method,
        path=request.url.path,
        time_s=shown.time_s,
        key=request.headers.get("idempotency-key", ""),
        body=body,
    )
    signer = signer_key(member, call.to_bytes(), shown.signature, at_s=office.clock.now_s())
    if not isinstance(signer, MemberKey):
        raise _unauthorized()
    return Caller(f"{_MEMBER}{shown.member_id}", frozenset(), None, "", 0)


def _unauthorized() -> Problem:
    return Problem("unauthorized", "No present member signed this call now.", headers={"WWW-Authenticate": SCHEME})
