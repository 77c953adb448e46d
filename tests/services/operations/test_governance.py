"""Members decide over HTTP: what they may propose, whose approval counts, and what is shown of them."""

import hashlib

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from contracts import bundle
from contracts.units import DAY_S
from services.encoding import bytes_of, text_of
from services.operations.keyring import KeyMetrics
from tests.contracts.members import YEAR_S, public_key
from tests.services.contract_sets.second import other_parameters, other_rate, other_rule
from tests.services.operations.conftest import code_of
from tests.services.operations.council import a_new_key, an_admission, approve, decide, found, propose

QUORUM = {"kind": "set_quorum", "quorum": 1}


@pytest.fixture
def database_url(sqlite_url):
    """What members may decide is the same on every engine."""
    return sqlite_url


def test_the_first_member_founds_the_membership_with_its_own_signature(desk):
    proposal = propose(desk, an_admission("hydro"))
    assert (proposal["state"], proposal["approvals"], proposal["needed"]) == ("open", [], 1)
    assert hashlib.sha256(bytes_of(proposal["to_sign"]) or b"").hexdigest() == proposal["digest"]

    answer = approve(desk.as_(), proposal, "hydro")

    assert answer.status_code == 201
    assert (answer.json()["state"], answer.json()["approvals"]) == ("carried", ["hydro"])
    members = desk.as_().get("/v1/members").json()
    assert (members["origin"], members["serial"], members["approvals_needed"]) == ("sparks.test/ledger", 1, 1)
    (hydro,) = members["items"]
    assert (hydro["role"], hydro["collections"], hydro["removed_at"]) == ("utility", ["all"], None)
    assert [(key["use"], key["state"], key["days_left"]) for key in hydro["keys"]] == [
        ("govern", "valid", 365),
        ("cosign", "valid", 365),
    ]


def test_a_signature_that_does_not_count_is_not_kept(desk):
    found(desk, "hydro", "interac")
    proposal = propose(desk, {"kind": "change_member", "member_id": "hydro", "name": "H"})
    client = desk.as_()

    assert code_of(approve(client, proposal, "hydro", seed="hydro cosign")) == (422, "bad_approval")
    assert code_of(approve(client, proposal, "board")) == (422, "approver_not_member")
    assert code_of(approve(client, {**proposal, "id": "0" * 64}, "hydro")) == (404, "unknown_proposal")
    desk.clock.advance_to(desk.clock.now_s() + YEAR_S)
    assert code_of(approve(client, proposal, "hydro")) == (422, "approval_key_expired")
    assert client.get(f"/v1/proposals/{proposal['id']}").json()["approvals"] == []


def test_what_no_approval_could_carry_is_refused_when_it_is_proposed(desk):
    found(desk, "hydro")

    for body, expected in (
        (an_admission("hydro"), (409, "member_exists")),
        (an_admission("auditor", cosign_name="auditor.example/given"), (422, "invalid_cosign_name")),
        ({"kind": "remove_member", "member_id": "hydro"}, (409, "last_member")),
        ({"kind": "set_quorum", "quorum": 2}, (422, "invalid_quorum")),
        ({"kind": "change_member", "member_id": "nobody"}, (404, "unknown_member")),
        ({"kind": "mint"}, (422, "validation_failed")),
    ):
        assert code_of(desk.programme.post("/v1/proposals", body)) == expected
    assert [item["state"] for item in desk.as_().get("/v1/proposals").json()["items"]] == ["carried"]


def test_a_proposal_is_void_once_another_one_was_carried(desk):
    found(desk, "hydro")
    one, other = propose(desk, QUORUM), propose(desk, {"kind": "change_member", "member_id": "hydro", "name": "H"})
    assert approve(desk.as_(), other, "hydro").json()["state"] == "carried"

    assert code_of(approve(desk.as_(), one, "hydro")) == (409, "stale_serial")

    shown = desk.as_().get(f"/v1/proposals/{one['id']}").json()
    assert (shown["state"], shown["reason"]) == ("refused", "stale_serial")


def test_a_member_renews_its_key_alone_and_the_old_one_is_retired(desk):
    found(desk, "hydro", "interac")
    body = {"kind": "add_member_key", "member_id": "interac", **a_new_key("interac", "next")}

    assert decide(desk, body, "interac")["state"] == "carried"
    old = text_of(public_key("interac govern"))
    retired = propose(desk, {"kind": "retire_member_key", "member_id": "interac", "public_key": old})
    assert approve(desk.as_(), retired, "interac", seed="next").json()["state"] == "carried"

    _, interac = desk.as_().get("/v1/members").json()["items"]
    assert [key["state"] for key in interac["keys"]] == ["ended", "valid", "valid"]
    assert interac["serial"] == 2


def test_a_removed_member_is_shown_and_approves_nothing(desk):
    found(desk, "hydro", "interac", "auditor")
    assert decide(desk, {"kind": "remove_member", "member_id": "auditor"}, "hydro", "interac")["state"] == "carried"

    shown = {member["member_id"]: member for member in desk.as_().get("/v1/members").json()["items"]}
    assert shown["auditor"]["removed_at"] is not None
    assert code_of(approve(desk.as_(), propose(desk, QUORUM), "auditor")) == (422, "approver_not_member")


def test_a_proposal_asked_for_twice_is_one(desk):
    first = desk.programme.post("/v1/proposals", an_admission("hydro"), key="k")

    assert desk.programme.post("/v1/proposals", an_admission("hydro"), key="k").json() == first.json()
    assert len(desk.as_().get("/v1/proposals").json()["items"]) == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"proof": ""},
        {"use": "cosign"},
        {"until_at": "2027-01-01T00:00:00Z"},
        {"public_key": text_of(public_key("another"))},
    ],
)
def test_a_key_is_not_proposed_unless_it_signed_for_whom_for_what_and_for_how_long_it_is(desk, changed):
    found(desk, "hydro")
    body = {"kind": "add_member_key", "member_id": "hydro", **a_new_key("hydro", "next"), **changed}

    assert code_of(desk.programme.post("/v1/proposals", body)) == (422, "key_not_proven")


# Keys that end


def test_the_metric_says_when_the_last_key_of_each_use_ends(desk):
    found(desk, "hydro")
    registry = CollectorRegistry()
    registry.register(KeyMetrics(desk.books.ledger, desk.clock))
    desk.clock.advance_to(desk.clock.now_s() + 300 * DAY_S)
    key = a_new_key("hydro", "next", use="cosign", from_s=desk.clock.now_s())
    body = {"kind": "add_member_key", "member_id": "hydro", **key}
    assert decide(desk, body, "hydro")["state"] == "carried"

    told = generate_latest(registry).decode()

    assert 'sparks_member_key_days_left{member="hydro",use="govern"} 65.0' in told
    assert 'sparks_member_key_days_left{member="hydro",use="cosign"} 365.0' in told
    (hydro,) = desk.as_().get("/v1/members").json()["items"]
    assert [(key["use"], key["state"]) for key in hydro["keys"]] == [
        ("govern", "ending"),
        ("cosign", "valid"),
        ("cosign", "valid"),
    ]


# Contracts


def test_members_make_other_contracts_active(desk):
    found(desk, "hydro", "interac")
    before = desk.as_().get("/v1/contracts").json()
    version = bundle.version_of(bundle.from_bytes(other_rate()))
    body = {
        "kind": "activate_contracts",
        "version": version.hex(),
        "parameters": other_parameters().decode(),
        "simulation": "ab" * 32,
    }

    carried = decide(desk, body, "hydro", "interac")

    assert carried["state"] == "carried"
    assert carried["fields"]["parameters"].endswith(hashlib.sha256(other_parameters()).hexdigest())
    after = desk.as_().get("/v1/contracts").json()
    assert (before["version"], before["activated_at_entry"]) == (before["program"], 0)
    assert (after["version"], after["activated_at_entry"]) == (version.hex(), carried["entry_index"])
    assert after["program"] == before["program"]


def test_a_whole_contract_set_fits_into_a_proposal_and_a_wrong_one_is_refused(desk):
    found(desk, "hydro")
    files = other_rule()
    version = bundle.version_of(bundle.from_bytes(files)).hex()
    whole = {"kind": "activate_contracts", "version": version, "files": text_of(files)}

    assert code_of(desk.programme.post("/v1/proposals", whole | {"version": "0" * 64})) == (
        422,
        "bundle_of_other_version",
    )
    assert code_of(desk.programme.post("/v1/proposals", whole | {"files": "AA"})) == (422, "malformed_bundle")
    assert code_of(desk.programme.post("/v1/proposals", whole | {"files": None})) == (404, "unknown_contracts")
    assert decide(desk, whole, "hydro")["state"] == "carried"
    assert code_of(desk.programme.post("/v1/proposals", whole)) == (409, "contracts_active")


def test_a_collection_is_a_fixed_word_with_the_roles_and_members_that_are_given_it(desk):
    found(desk, "hydro")

    items = desk.as_().get("/v1/collections").json()["items"]

    assert [item["collection"] for item in items] == ["checkout", "governance", "statements", "utility"]
    by_name = {item["collection"]: item for item in items}
    assert {"utility", "auditor", "regulator"} <= set(by_name["utility"]["roles"])
    assert "retailer" not in by_name["checkout"]["roles"]
    assert by_name["utility"]["members"] == ["hydro"]
