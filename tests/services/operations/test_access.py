"""Who may call what, with which key, and what every call has in common."""

import pytest
from fastapi.openapi.utils import get_openapi

from services.identity import Scope
from services.problems import MEDIA_TYPE
from tests.services.operations.conftest import a_device, app_of, code_of

QUORUM = {"kind": "set_quorum", "quorum": 0}
FLEET_CALLS = [
    ("POST", "/v1/devices", {"devices": [a_device()]}),
    ("GET", "/v1/devices", None),
    ("GET", "/v1/devices/unit-1", None),
    ("PATCH", "/v1/devices/unit-1", {"zone": "north"}),
    ("POST", "/v1/devices/unit-1/suspend", None),
    ("POST", "/v1/devices/unit-1/resume", None),
    ("POST", "/v1/devices/unit-1/keys", {"public_key": "", "from_seq": 1}),
    ("POST", "/v1/devices/unit-1/claim-codes", None),
    ("GET", "/v1/quarantine", None),
    ("POST", "/v1/quarantine/1/replay", None),
    ("POST", "/v1/quarantine/1/discard", {"reason": "x"}),
]
PROGRAMME_CALLS = [
    ("POST", "/v1/retailers", {"name": "x", "terminals": ["T"]}),
    ("GET", "/v1/retailers/R", None),
    ("POST", "/v1/retailers/R/identity", {}),
    ("POST", "/v1/proposals", QUORUM),
    ("POST", "/v1/reserve-deposits", {"amount_cents": 1, "reference": "x"}),
    ("POST", "/v1/customers/c/identity", {}),
    ("POST", "/v1/events", {}),
    ("POST", "/v1/events/e/cancel", None),
    ("PUT", "/v1/grid-signals/2026-07-01T14:00:00Z", {"intensity_mg_per_wh": 1}),
]
CALLS = FLEET_CALLS + PROGRAMME_CALLS
OPEN_CALLS = {
    *("/v1/members", "/v1/contracts", "/v1/collections"),
    "/v1/contracts/{version}",
    *("/v1/proposals/{proposal_id}", "/v1/proposals/{proposal_id}/approvals"),
}
"""What members are and decide is for everybody; an approval is signed."""


@pytest.fixture
def database_url(sqlite_url):
    """Who may call is the same on every engine."""
    return sqlite_url


def test_every_call_of_the_program_is_tested_here(desk):
    document = desk.app.openapi()
    ours = {path for path in document["paths"] if path.startswith("/v1/")}

    assert len(ours - OPEN_CALLS) == len({path for _, path, _ in CALLS})


def test_no_call_answers_without_a_token(desk):
    for method, path, body in CALLS:
        answer = desk.as_().call(method, path, json=body, headers={"Idempotency-Key": "k"})
        assert code_of(answer) == (401, "unauthorized"), path
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_no_call_answers_to_another_scope(desk):
    fleet, programme = {Scope.FLEET}, {Scope.PROGRAMME}
    for calls, scope in ((FLEET_CALLS, fleet), (PROGRAMME_CALLS, programme)):
        others = desk.as_(*(set(Scope) - scope))
        for method, path, body in calls:
            answer = others.call(method, path, json=body, headers={"Idempotency-Key": "k"})
            assert code_of(answer) == (403, "forbidden"), path


def test_every_post_needs_an_idempotency_key(desk):
    operator = desk.as_(Scope.FLEET, Scope.PROGRAMME)
    for method, path, body in CALLS:
        if method == "POST":
            assert code_of(operator.call(method, path, json=body)) == (400, "idempotency_key_missing"), path


def test_a_key_used_again_for_another_body_is_refused(desk):
    one = desk.programme.post("/v1/reserve-deposits", {"amount_cents": 1, "reference": "x"}, key="k")
    other = desk.programme.post("/v1/reserve-deposits", {"amount_cents": 2, "reference": "x"}, key="k")
    devices = desk.fleet.post("/v1/devices", {"devices": [a_device("unit-1")]}, key="k")
    more = desk.fleet.post("/v1/devices", {"devices": [a_device("unit-2")]}, key="k")

    assert (one.status_code, devices.status_code) == (201, 201)
    assert code_of(other) == code_of(more) == (422, "idempotency_key_reused")


def test_bodies_are_compared_as_json_not_as_text(desk):
    texts = [b'{"amount_cents": 1, "reference": "x"}', b'{"reference":"\\u0078","amount_cents":1}']
    headers = {"Content-Type": "application/json", "Idempotency-Key": "k"}

    one, other = [desk.programme.call("POST", "/v1/reserve-deposits", content=text, headers=headers) for text in texts]

    assert one.status_code == other.status_code == 201
    assert one.json() == other.json()


def test_the_same_key_of_another_caller_is_another_key(desk):
    body = {"amount_cents": 1, "reference": "x"}

    answers = [
        desk.as_(Scope.PROGRAMME, subject=subject).post("/v1/reserve-deposits", body, key="k")
        for subject in ("operator", "treasurer")
    ]

    assert [answer.json()["reserve_micro_cad"] for answer in answers] == [10_000, 20_000]


def test_every_wrong_body_is_a_problem_with_its_fields(desk):
    for method, path, body in CALLS:
        if body is not None:
            wrong = {"unheard_of": 1}
            answer = desk.as_(Scope.FLEET, Scope.PROGRAMME).call(
                method, path, json=wrong, headers={"Idempotency-Key": f"key of {path}".replace(" ", "-")}
            )
            assert code_of(answer) == (422, "validation_failed"), path
            assert answer.json()["fields"], path


def test_the_examples_of_openapi_are_answered_as_they_say(desk):
    document = get_openapi(title="Sparks", version="1", routes=app_of(desk.office).routes)
    schemas = document["components"]["schemas"]
    operator = desk.as_(Scope.FLEET, Scope.PROGRAMME)

    deposit = operator.post("/v1/reserve-deposits", schemas["Deposit"]["examples"][0])
    retailer = operator.post("/v1/retailers", schemas["NewRetailer"]["examples"][0])
    devices = operator.post("/v1/devices", {"devices": schemas["NewDevice"]["examples"]})
    event = operator.post("/v1/events", schemas["NewEvent"]["examples"][0])
    signal = operator.call("PUT", "/v1/grid-signals/2026-07-01T14:00:00Z", json=schemas["GridSignal"]["examples"][0])

    answers = [deposit, retailer, devices, event, signal]
    assert [answer.status_code for answer in answers] == [201, 201, 201, 201, 200]
    assert "claim_code" in devices.json()["items"][0]


def test_openapi_promises_problems_and_never_the_frameworks_own_errors(desk):
    document = desk.app.openapi()

    assert "HTTPValidationError" not in document["components"]["schemas"]
    for path, operations in document["paths"].items():
        for operation in operations.values():
            if path.startswith("/v1/"):
                assert MEDIA_TYPE in operation["responses"]["422"]["content"], path


def test_openapi_says_which_calls_need_a_key(desk):
    for path, operations in desk.app.openapi()["paths"].items():
        for method, operation in operations.items():
            is_open = path in OPEN_CALLS or (method, path) == ("get", "/v1/proposals")
            if path.startswith("/v1/") and not is_open:
                assert operation["security"] == [{"HTTPBearer": []}]
                needed = [one["name"] for one in operation.get("parameters", []) if one["in"] == "header"]
                assert needed == (["Idempotency-Key"] if method == "post" else [])
                assert all(one["required"] for one in operation.get("parameters", []) if one["in"] == "header")
