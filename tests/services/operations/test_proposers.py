"""Any present member opens a proposal in its own name; nobody else does, and no signature counts twice."""

import json
from typing import Any

import httpx
import pytest

from contracts.approvals import GOVERN
from services.member_calls import MemberCall, parse
from services.operations.proposals import IN_A_DAY_MAX, OPEN_MAX
from tests.contracts.members import a_seed
from tests.services.ledger.builders import IDENTITY
from tests.services.operations.conftest import Desk, code_of
from tests.services.operations.council import a_new_key, approve, decide, found, propose

PATH = "/v1/proposals"
QUORUM = {"kind": "set_quorum", "quorum": 1}


def proposed(
    desk: Desk, wanted: dict[str, Any], who: str, *, sent_key: str = '"one"', seed: str = "", **changed: Any
) -> httpx.Response:
    """The member's call, with `changed` parts of what is signed, or the seed of another key."""
    sent = json.dumps(wanted).encode()
    said: dict[str, Any] = {
        "origin": IDENTITY.origin,
        "member_id": who,
        "method": "POST",
        "path": PATH,
        "time_s": desk.clock.now_s(),
        "key": sent_key,
        "body": sent,
    }
    authorization = MemberCall(**said | changed).signed(a_seed(seed or f"{who} {GOVERN}"))
    headers = {"Authorization": authorization, "Idempotency-Key": sent_key}
    headers["Content-Type"] = "application/json"
    return desk.as_().call("POST", PATH, content=sent, headers=headers)


def test_a_member_proposes_in_its_own_name_and_others_see_that_it_did(desk):
    found(desk, "hydro", "interac", "auditor")

    answer = proposed(desk, QUORUM, "interac")

    assert answer.status_code == 201, answer.text
    assert answer.json()["proposed_by_member"] == "interac"
    assert propose(desk, QUORUM)["proposed_by_member"] is None
    approve(desk.as_(), answer.json(), "interac")
    assert approve(desk.as_(), answer.json(), "auditor").json()["state"] == "carried"


def test_what_was_overheard_is_good_for_the_same_call_only(desk):
    found(desk, "hydro")

    first, again = proposed(desk, QUORUM, "hydro"), proposed(desk, QUORUM, "hydro")

    assert first.json() == again.json()
    assert len([item for item in desk.as_().get(PATH).json()["items"] if item["kind"] == "set_quorum"]) == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"origin": "other.example/ledger"},
        {"member_id": "auditor"},
        {"method": "PUT"},
        {"path": "/v1/proposals/"},
        {"key": '"two"'},
        {"body": b'{"kind": "set_quorum", "quorum": 2}'},
        {"seed": "hydro cosign"},
        {"seed": "auditor govern"},
        {"time_s": 0},
    ],
)
def test_a_signature_for_anything_else_proposes_nothing(desk, changed):
    found(desk, "hydro", "interac")

    answer = proposed(desk, QUORUM, "hydro", **changed)

    assert code_of(answer) == (401, "unauthorized")
    assert answer.headers["www-authenticate"] == "Sparks-Member"


def test_who_was_removed_or_whose_key_has_ended_proposes_nothing(desk):
    found(desk, "hydro", "interac", "auditor")
    decide(desk, {"kind": "remove_member", "member_id": "auditor"}, "hydro", "interac")
    decide(desk, {"kind": "add_member_key", "member_id": "interac", **a_new_key("interac", "next")}, "interac")
    old = a_new_key("interac", "interac govern")["public_key"]
    decide(desk, {"kind": "retire_member_key", "member_id": "interac", "public_key": old}, "interac")

    assert code_of(proposed(desk, QUORUM, "auditor")) == (401, "unauthorized")
    assert code_of(proposed(desk, QUORUM, "board")) == (401, "unauthorized")
    assert code_of(proposed(desk, QUORUM, "interac")) == (401, "unauthorized")
    assert proposed(desk, QUORUM, "interac", seed="next").status_code == 201


@pytest.mark.parametrize(
    "text", ["Sparks-Member", 'Sparks-Member member="a", time="x", signature="AA"', "Bearer x", ""]
)
def test_what_is_no_signature_of_a_member_is_refused(desk, text):
    found(desk, "hydro")

    answer = desk.as_().call("POST", PATH, json=QUORUM, headers={"Authorization": text, "Idempotency-Key": '"k"'})

    assert code_of(answer) == (401, "unauthorized")
    assert parse(text) is None


def test_a_member_has_only_so_many_proposals_open_and_the_operator_and_others_go_on(desk):
    found(desk, "hydro", "interac")
    calls = [proposed(desk, QUORUM, "interac", sent_key=f'"{number}"') for number in range(OPEN_MAX + 1)]

    assert [call.status_code for call in calls] == [201] * OPEN_MAX + [429]
    assert calls[-1].json()["code"] == "too_many_proposals"
    assert proposed(desk, QUORUM, "interac", sent_key='"0"').json()["id"] == calls[0].json()["id"]
    assert proposed(desk, QUORUM, "hydro").status_code == 201
    for member_id in ("hydro", "interac"):
        approve(desk.as_(), propose(desk, QUORUM), member_id)
    decided = propose(desk, QUORUM)
    for member_id in ("hydro", "interac"):
        approve(desk.as_(), decided, member_id)
    assert proposed(desk, QUORUM, "interac", sent_key='"later"').status_code == 201  # the others are stale now


def test_a_member_makes_only_so_many_proposals_in_a_day(desk, monkeypatch):
    monkeypatch.setattr("services.operations.proposals.IN_A_DAY_MAX", 2)
    found(desk, "hydro")
    calls = [proposed(desk, QUORUM, "hydro", sent_key=f'"{number}"') for number in range(3)]
    assert [call.status_code for call in calls] == [201, 201, 429]

    desk.clock.advance_to(desk.clock.now_s() + 24 * 3600)

    assert proposed(desk, QUORUM, "hydro", sent_key='"next day"').status_code == 201
    assert IN_A_DAY_MAX > OPEN_MAX
