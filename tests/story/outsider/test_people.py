"""Who may call what, and what a repeated or malformed call is told."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.story.outsider.api import FORGOTTEN, HTTP, Api, problem, published_keys
from tests.story.outsider.cose import SigningKey, kid_of
from tests.story.outsider.stage import LATER, Stage, device

DEPOSIT = {"amount_cents": 100, "reference": "again"}


def test_every_use_has_a_key_of_its_own(stage: Stage) -> None:
    keys = published_keys(stage.base_url)

    assert set(keys) == {"receipts", "commands", "tokens"}
    assert len({kid for by_kid in keys.values() for kid in by_kid}) == 3
    assert all(kid == kid_of(public_key) for by_kid in keys.values() for kid, public_key in by_kid.items())


def test_wrong_credentials_get_no_token(stage: Stage) -> None:
    form = {"grant_type": "client_credentials", "client_id": "operator", "client_secret": "guessed"}
    assert HTTP.post(f"{stage.base_url}/oauth/token", data=form).status_code == 401
    guess = {"email": "nobody@example.com", "password": "guessed it maybe"}
    assert problem(Api(stage.base_url).post("/v1/sessions", guess, key=FORGOTTEN))[0] == 401


def test_a_token_opens_only_its_scope(stage: Stage) -> None:
    _, customer = stage.enrolled("scoped")
    shop = stage.shop("SCOPE1").api
    for caller in (customer, shop):
        for path in ("/v1/devices", "/v1/retailers", "/v1/reserve-deposits", "/v1/events"):
            assert caller.post(path, DEPOSIT).status_code == 403
    for caller in (stage.operator, shop):
        assert caller.get("/v1/me/sparks").status_code == 403
    assert customer.post("/v1/authorizations", {}).status_code == 403
    assert problem(Api(stage.base_url).get("/v1/me"))[0] == 401
    assert problem(Api(stage.base_url, "nonsense").get("/v1/devices"))[0] == 401


def test_a_session_ends_when_its_person_says_so(stage: Stage) -> None:
    _, customer = stage.enrolled("leaving")
    assert customer.call("DELETE", "/v1/sessions/current", None).is_success
    assert problem(customer.get("/v1/me"))[0] == 401


def test_the_profile_says_what_was_enrolled_and_attested(stage: Stage) -> None:
    customer_id, customer = stage.enrolled("profiled", "partner")
    before = customer.got("/v1/me")
    stage.attest(customer_id, "enhanced")
    changed = customer.call("PATCH", "/v1/me", {"participation_level": "observer"})
    after = customer.got("/v1/me")

    assert (before["participation_level"], before["identity"], before["frozen"]) == ("partner", "unverified", False)
    assert before["participation_level_next"] is None
    assert changed.is_success
    assert (after["participation_level"], after["participation_level_next"]) == ("partner", "observer")
    assert after["effective_at"] == "2026-07-07T04:00:00Z"
    assert (after["identity"], after["language"]) == ("enhanced", "en")


def test_a_unit_is_claimed_once_with_its_newest_code(stage: Stage) -> None:
    item = stage.registered("claimed")
    _, customer = stage.enrolled("claimer")
    newer = stage.operator.posted("/v1/devices/claimed/claim-codes")
    claim = "/v1/me/devices"
    ended = customer.post(claim, {"claim_code": item["claim_code"]})
    unknown = customer.post(claim, {"claim_code": "nothing like a code"})

    assert newer["expires_at"] == "2026-10-04T16:00:00Z"
    assert problem(ended) == problem(unknown) == (404, "unknown_claim_code")
    assert customer.post(claim, {"claim_code": newer["claim_code"]}).status_code == 201
    assert problem(customer.post(claim, {"claim_code": newer["claim_code"]}))[0] == 404
    assert customer.call("DELETE", "/v1/me/devices/claimed", None).is_success


def test_the_same_key_and_body_get_the_same_bytes(stage: Stage) -> None:
    path, key = "/v1/reserve-deposits", "the-same"
    first = stage.operator.post(path, DEPOSIT, key=key)
    again = stage.operator.post(path, dict(reversed(DEPOSIT.items())), key=key)
    other = stage.operator.post(path, DEPOSIT | {"amount_cents": 101}, key=key)
    missing = stage.operator.post(path, DEPOSIT, key=FORGOTTEN)

    assert first.is_success
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert problem(other) == (422, "idempotency_key_reused")
    assert problem(missing) == (400, "idempotency_key_missing")


def test_a_key_belongs_to_one_caller_and_one_path(stage: Stage) -> None:
    one, another = (stage.enrolled(name)[1] for name in ("key-one", "key-another"))
    codes = [person.posted("/v1/me/checkout-codes", {}, key="shared")["code"] for person in (one, another, one)]

    assert codes[0] == codes[2] != codes[1]
    assert one.post("/v1/me/freeze", key="shared").is_success


@pytest.mark.parametrize(
    "path",
    [
        "/v1/devices",
        "/v1/retailers",
        "/v1/events",
        "/v1/customers/x/identity",
        "/v1/devices/x/suspend",
        "/v1/devices/x/keys",
    ],
)
def test_every_post_of_the_operator_needs_a_key(stage: Stage, path: str) -> None:
    assert problem(stage.operator.post(path, {}, key=FORGOTTEN)) == (400, "idempotency_key_missing")


def test_enrolling_twice_with_a_key_is_enrolling_once(stage: Stage) -> None:
    person = {"email": "k@example.com", "password": "a long enough password", "name": "K", "postal_code": "L5B 4M7"}
    body = {**person, "language": "fr", "consent": True}
    guest = Api(stage.base_url)
    first, again = (guest.post("/v1/customers", body, key="enrol-k") for _ in range(2))

    assert first.status_code == again.status_code == 201
    assert first.content == again.content
    assert guest.post("/v1/customers", body | {"name": "L"}, key="enrol-k").status_code == 422


def test_secrets_are_shown_once(stage: Stage) -> None:
    retailer = {"name": "Once", "terminals": ["ONCE1"]}
    first, again = (stage.operator.posted("/v1/retailers", retailer, key="shop-once") for _ in range(2))
    body = {"devices": [device("once", SigningKey.named("once").public)]}
    told, retold = (stage.operator.posted("/v1/devices", body, key="unit-once") for _ in range(2))

    assert first["client_secret"] and "code" not in {name for name, value in first.items() if value is not None}
    assert not again.get("client_secret")
    assert again["code"] == "secret_already_shown"
    assert (again["retailer_id"], again["client_id"]) == (first["retailer_id"], first["client_id"])
    assert told["items"][0]["mqtt_password"]
    assert not retold["items"][0].get("mqtt_password")
    assert retold["code"] == "secret_already_shown"


def test_of_many_equal_calls_at_once_one_is_shown_the_secret_and_the_others_wait_or_are_told(stage: Stage) -> None:
    retailer = {"name": "Hasty", "terminals": ["HASTY1"]}
    with ThreadPoolExecutor(8) as many:
        answers = list(many.map(lambda _: stage.operator.post("/v1/retailers", retailer, key="hasty"), range(8)))
    done = [answer.json() for answer in answers if answer.status_code == 201]

    assert {problem(answer) for answer in answers if answer.status_code != 201} <= {(409, "request_in_progress")}
    assert len([answer for answer in done if answer.get("client_secret")]) == 1
    assert len({answer["retailer_id"] for answer in done}) == 1


def test_of_two_bodies_at_once_with_one_key_only_one_is_done(stage: Stage) -> None:
    with ThreadPoolExecutor(8) as many:
        answers = list(
            many.map(
                lambda cents: stage.operator.post(
                    "/v1/reserve-deposits", DEPOSIT | {"amount_cents": cents}, key="two-bodies"
                ),
                [1, 2] * 4,
            )
        )
    refused = {problem(answer) for answer in answers if answer.status_code != 201}

    assert len({answer.content for answer in answers if answer.status_code == 201}) == 1
    assert refused <= {(422, "idempotency_key_reused"), (409, "request_in_progress")}
    assert (422, "idempotency_key_reused") in refused


def test_a_registration_says_which_of_its_devices_failed(stage: Stage) -> None:
    stage.registered("there-already")
    key = SigningKey.named("new").public
    body = {"devices": [device("there-already", key), device("NOT VALID", key), device("fine", key)]}
    items = stage.operator.posted("/v1/devices", body)["items"]

    assert [item["device_id"] for item in items] == ["there-already", "NOT VALID", "fine"]
    assert [bool(item.get("error")) for item in items] == [True, True, False]
    assert [bool(item.get("claim_code")) for item in items] == [False, False, True]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/reserve-deposits", {"amount_cents": 1.5, "reference": "half"}),
        ("/v1/reserve-deposits", {"amount_cents": -1, "reference": "less"}),
        ("/v1/events", {"id": "e", "zone": "toronto", "start_at": "soon", "end_at": LATER}),
        ("/v1/retailers", {"name": "No Terminals"}),
    ],
)
def test_what_is_malformed_is_a_problem_with_a_code(stage: Stage, path: str, body: dict[str, object]) -> None:
    assert problem(stage.operator.post(path, body))[0] == 422


def test_an_unknown_path_is_a_problem_too(stage: Stage) -> None:
    assert problem(Api(stage.base_url).get("/v1/nothing"))[0] == 404
    assert problem(stage.operator.get("/v1/devices/nobody"))[0] == 404


def test_what_is_refused_with_422_or_401_is_not_remembered(stage: Stage) -> None:
    path, key = "/v1/reserve-deposits", "mended"
    assert problem(stage.operator.post(path, DEPOSIT | {"amount_cents": 0}, key=key))[0] == 422
    assert problem(Api(stage.base_url).post(path, DEPOSIT, key=key))[0] == 401
    assert stage.operator.post(path, DEPOSIT, key=key).is_success


def test_another_refusal_is_remembered(stage: Stage) -> None:
    _, customer = stage.enrolled("refused-twice")
    first, again = (customer.post("/v1/me/devices", {"claim_code": "AAAA"}, key="twice") for _ in range(2))
    other = customer.post("/v1/me/devices", {"claim_code": "BBBB"}, key="twice")

    assert problem(first) == (404, "unknown_claim_code")
    assert (first.status_code, first.content) == (again.status_code, again.content)
    assert problem(other) == (422, "idempotency_key_reused")


def test_lists_go_on_where_a_cursor_says(stage: Stage) -> None:
    for name in ("page-a", "page-b", "page-c"):
        stage.registered(name)
    seen: list[str] = []
    page = stage.operator.got("/v1/devices", limit=2)
    seen += [item["device_id"] for item in page["items"]]
    while page["next_cursor"]:
        page = stage.operator.got("/v1/devices", limit=2, cursor=page["next_cursor"])
        seen += [item["device_id"] for item in page["items"]]

    assert {"page-a", "page-b", "page-c"} <= set(seen)
    assert len(seen) == len(set(seen))
    assert problem(stage.operator.get("/v1/devices", cursor="made up"))[0] in (400, 422)


def test_what_is_not_json_is_a_problem(stage: Stage) -> None:
    headers = {"Idempotency-Key": "not-json", "Content-Type": "application/json"}
    answer = HTTP.post(f"{stage.base_url}/v1/customers", content=b"{", headers=headers)
    assert problem(answer)[0] in (400, 422)
    assert problem(HTTP.put(f"{stage.base_url}/v1/customers"))[0] == 405


def test_the_platform_says_how_it_is(stage: Stage) -> None:
    assert Api(stage.base_url).get("/healthz").status_code == 200
    assert Api(stage.base_url).get("/readyz").status_code == 200
    metrics = Api(stage.base_url).get("/metrics")
    assert metrics.headers["content-type"].startswith("text/plain")
    assert "# TYPE" in metrics.text
    assert Api(stage.base_url).got("/openapi.json")["openapi"].startswith("3.1")
