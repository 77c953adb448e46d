"""Members who decide over HTTP: what they propose, and how they sign what they are shown."""

from typing import Any

import httpx

from contracts.approvals import COSIGN, GOVERN
from contracts.wire import signatures
from services.encoding import bytes_of, text_of
from services.moments import rfc3339
from tests.contracts.members import ROLES, a_key, a_seed
from tests.services.asgi import Http
from tests.services.ledger.builders import IDENTITY, NOON_S
from tests.services.operations.conftest import Desk


def a_new_key(member_id: str, name: str, *, use: str = GOVERN, from_s: int = NOON_S) -> dict[str, str]:
    """The key that is called so, as a proposal names it."""
    public_key, _, _, until_s, proof = a_key(member_id, name, use=use, from_s=from_s, origin=IDENTITY.origin)
    said = {"from_at": rfc3339(from_s), "until_at": rfc3339(until_s)}
    return {"public_key": text_of(public_key), "use": use, "proof": text_of(proof), **said}


def an_admission(member_id: str, **changes: Any) -> dict[str, Any]:
    """The body that proposes a member with a key of each use; the seeds are those of `tests.contracts.members`."""
    role = changes.get("role", ROLES[member_id])
    suffix = "all" if role in {"utility", "auditor", "regulator"} else "given"
    keys = [a_new_key(member_id, f"{member_id} {use}", use=use) for use in (GOVERN, COSIGN)]
    body = {
        "kind": "admit_member",
        "member_id": member_id,
        "name": member_id.title(),
        "role": role,
        "url": f"https://{member_id}.example",
        "cosign_name": f"{member_id}.example/{suffix}",
        "keys": keys,
    }
    return {**body, **changes}


def propose(desk: Desk, body: dict[str, Any]) -> dict[str, Any]:
    answer = desk.programme.post("/v1/proposals", body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def an_approval(proposal: dict[str, Any], member_id: str, *, seed: str = "") -> dict[str, str]:
    """The member's signature over the bytes that it was shown."""
    to_sign = bytes_of(proposal["to_sign"])
    assert to_sign is not None
    signature = signatures.sign(a_seed(seed or f"{member_id} {GOVERN}"), to_sign)
    return {"member_id": member_id, "signature": text_of(signature)}


def approve(client: Http, proposal: dict[str, Any], member_id: str, *, seed: str = "") -> httpx.Response:
    path = f"/v1/proposals/{proposal['id']}/approvals"
    return client.post(path, an_approval(proposal, member_id, seed=seed))


def decide(desk: Desk, body: dict[str, Any], *members: str) -> dict[str, Any]:
    """Propose it and have these approve; what became of it."""
    proposal = propose(desk, body)
    for member_id in members:
        answer = approve(desk.as_(), proposal, member_id)
        assert answer.status_code == 201, answer.text
    shown: dict[str, Any] = desk.as_().get(f"/v1/proposals/{proposal['id']}").json()
    return shown


def found(desk: Desk, *members: str) -> None:
    """Admit these, each approved by all before it."""
    for place, name in enumerate(members):
        decided = decide(desk, an_admission(name), name, *members[: place // 2 + 1 if place else 0])
        assert decided["state"] == "carried", decided
