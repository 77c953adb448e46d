"""Organisations that sign: builders for the tests of what they decide together."""

import hashlib
from dataclasses import replace
from typing import Any, TypeVar

from contracts import approvals, programmes, state
from contracts.approvals import COSIGN, GOVERN
from contracts.effects import Effects, Rejected
from contracts.execute import execute
from contracts.governed import AddMemberKey, AdmitMember, Governed
from contracts.memory import Memory
from contracts.state import Ledger, Member, Membership
from contracts.units import DAY_S
from contracts.wire import signatures
from tests.contracts.builders import MONDAY_NOON_S

G = TypeVar("G", bound=Governed)

ORIGIN = "sparks.example/ledger"
YEAR_S = 365 * DAY_S
ROLES = {"hydro": "utility", "interac": "network", "grocer": "retailer", "auditor": "auditor", "board": "regulator"}


def a_seed(name: str) -> bytes:
    return hashlib.sha256(f"member {name}".encode()).digest()


def public_key(name: str) -> bytes:
    return signatures.public_key_of(a_seed(name))


def an_open_ledger(at_s: int = MONDAY_NOON_S) -> Memory:
    view = Memory(programmes.load(), at_s)
    view.rows[state.LEDGER_KEY] = Ledger(ORIGIN, "ontario")
    return view


def a_candidate(member_id: str, *, serial: int, at_s: int = MONDAY_NOON_S, **given: Any) -> AdmitMember:
    """Keys are named after the member and the use: `hydro govern`."""
    role = given.pop("role", ROLES.get(member_id, "auditor"))
    suffix = "all" if role in {"utility", "auditor", "regulator"} else "given"
    fields: dict[str, Any] = {
        "name": f"{member_id.title()} Inc.",
        "url": f"https://{member_id}.example",
        "cosign_name": f"{member_id}.example/{suffix}",
        "keys": tuple(a_key(member_id, f"{member_id} {use}", use=use, from_s=at_s) for use in (GOVERN, COSIGN)),
    }
    return AdmitMember(serial=serial, member_id=member_id, role=role, approvals=(), **(fields | given))


def a_key(
    member_id: str, name: str, *, use: str = GOVERN, from_s: int = MONDAY_NOON_S, lasts_s: int = YEAR_S, **given: str
) -> tuple[bytes, str, int, int, bytes]:
    """The key that is called so, as its holder has it proposed."""
    said = {"origin": ORIGIN, "member_id": member_id, **given}
    return approvals.proven_key(a_seed(name), use=use, from_s=from_s, until_s=from_s + lasts_s, **said)


def approved(command: G, *names: str, **seeds: str) -> G:
    """The command as these members sign it, with the keys that they were admitted with unless others are named."""
    message = approvals.approve_bytes(ORIGIN, command)
    signers = {name: f"{name} {GOVERN}" for name in names} | seeds
    signed = tuple((name, signatures.sign(a_seed(seed), message)) for name, seed in signers.items())
    return replace(command, approvals=signed)


def tell(view: Memory, command: Governed) -> Effects | Rejected:
    """Execute and take over."""
    answer = execute(view, command)
    if isinstance(answer, Effects):
        view.apply(answer)
    return answer


def members_of(view: Memory) -> Membership:
    found = view.get(state.MEMBERSHIP_KEY)
    return found if isinstance(found, Membership) else Membership()


def member_of(view: Memory, member_id: str) -> Member:
    found = view.get(state.member_key(member_id))
    assert isinstance(found, Member)
    return found


def with_members(*names: str, quorum: int = 0) -> Memory:
    """A ledger whose members these are, each admitted by all before it."""
    view = an_open_ledger()
    for place, name in enumerate(names):
        candidate = a_candidate(name, serial=members_of(view).serial)
        assert isinstance(tell(view, approved(candidate, *names[: place + 1])), Effects)
    if quorum:
        view.rows[state.MEMBERSHIP_KEY] = replace(members_of(view), quorum=quorum)
    return view


def a_new_key(view: Memory, member_id: str, name: str, *, use: str = GOVERN, **given: Any) -> AddMemberKey:
    from_s = given.get("from_s", view.at_s)
    until_s = given.get("until_s", view.at_s + YEAR_S)
    key = a_key(member_id, name, use=use, from_s=from_s, lasts_s=until_s - from_s)
    return AddMemberKey(member_of(view, member_id).serial, member_id, *key, ())
