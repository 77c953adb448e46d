"""Units: registered in bulk, corrected, suspended, given keys and claim codes."""

import dataclasses

from contracts import state
from contracts.state import Claim, Unit
from contracts.units import DAY_S
from contracts.wire import signatures
from contracts.wire.keys import key_change_bytes
from contracts.wire.receipts import Resend
from services import claim_codes
from services.broker.accounts import Login, TableAccounts
from services.database import transaction
from services.encoding import text_of
from services.ledger.client import LedgerUnavailable
from services.moments import rfc3339
from services.setaside import parking
from services.setaside.parking import Parked
from tests.services.ledger.builders import Home
from tests.services.operations.conftest import a_device, a_public_key, a_seed, app_of, code_of


def test_a_registered_unit_is_on_the_ledger_may_log_in_and_can_be_claimed_with_its_code(desk):
    (item,) = desk.register("unit-1")

    (unit,) = desk.books.ledger.rows([state.unit_key("unit-1")])
    assert isinstance(unit, Unit)
    assert unit.keys[0].public_key == a_public_key("unit-1")
    (claim,) = desk.books.ledger.rows([claim_key(item["claim_code"].lower().replace("-", " "))])
    assert isinstance(claim, Claim)
    assert claim.device_id == "unit-1"
    login = Login(item["mqtt_username"], item["mqtt_password"])
    assert login.username == "unit-1"
    assert TableAccounts(desk.books.engine).is_admitted(login)


def test_a_repeat_of_the_registration_gets_the_items_without_secrets(desk):
    body = {"devices": [a_device("unit-1"), a_device("unit-2")]}
    first = desk.fleet.post("/v1/devices", body, key="k")

    again = desk.fleet.post("/v1/devices", body, key="k")

    assert first.status_code == again.status_code == 201
    assert again.json() == {
        "items": [
            {"device_id": "unit-1", "mqtt_username": "unit-1"},
            {"device_id": "unit-2", "mqtt_username": "unit-2"},
        ],
        "code": "secret_already_shown",
    }


def test_one_bad_unit_does_not_refuse_the_others(desk):
    desk.register("unit-0")
    bad = [
        (a_device("Unit_1"), "invalid_device_id"),
        (a_device("x" * 65), "invalid_device_id"),
        (a_device("unit-0"), "device_exists"),
        (a_device("unit-2", public_key="AAAA"), "invalid_public_key"),
        (a_device("unit-3", public_key="not base64url"), "invalid_public_key"),
        (a_device("unit-4", pv_nameplate_w=-1), "invalid_nameplate"),
        (a_device("unit-5", battery_power_w=10**30), "invalid_nameplate"),
        (a_device("unit-6", zone="\0"), "invalid_zone"),
        (a_device("unit-7"), "device_exists"),
    ]
    devices = [a_device("unit-7"), *(device for device, _ in bad), a_device("unit-8")]

    items = desk.fleet.post("/v1/devices", {"devices": devices}).json()["items"]

    assert [item.get("error") for item in items] == [None, *(error for _, error in bad), None]
    assert [item["device_id"] for item in items if "claim_code" in item] == ["unit-7", "unit-8"]


def test_a_call_that_died_before_the_broker_knew_the_units_is_repaired_by_asking_again(desk):
    class Unreachable:
        def admit(self, accounts):
            raise LedgerUnavailable("the broker's accounts cannot be written")

        def remove(self, usernames):
            raise AssertionError

    dying = dataclasses.replace(desk.office, accounts=Unreachable())
    body = {"devices": [a_device("unit-1")]}
    assert code_of(dataclasses.replace(desk, app=app_of(dying)).fleet.post("/v1/devices", body, key="k")) == (
        503,
        "ledger_unavailable",
    )
    size = desk.books.ledger.head().size

    answer = desk.fleet.post("/v1/devices", body, key="k")

    (item,) = answer.json()["items"]
    assert TableAccounts(desk.books.engine).is_admitted(Login("unit-1", item["mqtt_password"]))
    assert "claim_code" in item
    assert desk.books.ledger.head().size == size


def test_the_fleet_is_listed_by_id_a_page_at_a_time(desk):
    desk.register("unit-3", "unit-1", "unit-2")
    first = desk.fleet.get("/v1/devices?limit=2").json()

    rest = desk.fleet.get(f"/v1/devices?limit=2&cursor={first['next_cursor']}").json()

    assert [item["device_id"] for item in first["items"]] == ["unit-1", "unit-2"]
    assert [item["device_id"] for item in rest["items"]] == ["unit-3"]
    assert rest["next_cursor"] is None
    assert code_of(desk.fleet.get("/v1/devices?cursor=%21")) == (400, "invalid_cursor")


def test_a_unit_shows_how_far_it_is_and_what_is_missing(desk):
    home = Home()
    desk.books.accept(*home.joining())
    (recorded,) = desk.books.accept(home.record())
    with transaction(desk.books.engine) as session:
        waiting = [Parked("unit-1", seq, bytes(32), b"", None, desk.clock.now_s()) for seq in (4, 5, 8)]
        parking.park(session.connection(), waiting)

    shown = desk.fleet.get("/v1/devices/unit-1").json()

    assert shown["state"] == "active"
    assert shown["claimed"] is True
    assert (shown["last_seq"], shown["waiting"]) == (1, 3)
    assert shown["gaps"] == [{"from_seq": 2, "to_seq": 3}, {"from_seq": 6, "to_seq": 7}]
    assert shown["last_seen"] == rfc3339(recorded.at_s)
    assert shown["last_interval_end"] == rfc3339(home.next_s)
    assert shown["keys"][0]["kid"] == signatures.key_id(signatures.public_key_of(home.seed)).hex()


def test_a_unit_that_never_spoke_was_never_seen(desk):
    desk.register("unit-1")

    shown = desk.fleet.get("/v1/devices/unit-1").json()

    assert (shown["last_seq"], shown["last_seen"], shown["gaps"]) == (0, None, [])


def test_a_correction_changes_what_it_names_and_nothing_else(desk):
    desk.register("unit-1")

    answer = desk.fleet.call("PATCH", "/v1/devices/unit-1", json={"pv_nameplate_w": 8_200})

    assert answer.status_code == 200
    assert (answer.json()["pv_nameplate_w"], answer.json()["battery_power_w"]) == (8_200, 5_000)


def test_a_correction_that_changes_nothing_writes_no_entry(desk):
    desk.register("unit-1")
    size = desk.books.ledger.head().size

    answer = desk.fleet.call("PATCH", "/v1/devices/unit-1", json={"zone": "toronto"})

    assert answer.status_code == 200
    assert desk.books.ledger.head().size == size


def test_a_suspended_unit_is_asked_for_its_packs_when_it_is_resumed(desk):
    desk.register("unit-1")
    assert desk.fleet.post("/v1/devices/unit-1/suspend").json()["state"] == "suspended"
    assert desk.fleet.get("/v1/devices/unit-1").json()["state"] == "suspended"
    assert desk.instructions == []

    answer = desk.fleet.post("/v1/devices/unit-1/resume")

    assert answer.json() == {"device_id": "unit-1", "state": "active"}
    (resend,) = desk.instructions
    assert isinstance(resend, Resend)
    assert (resend.device_id, resend.from_seq) == ("unit-1", 1)
    assert resend.expires_s > desk.clock.now_s()


def test_a_unit_gets_another_key_that_its_old_one_vouches_for(desk):
    desk.register("unit-1")
    new_key = a_public_key("new")
    signature = signatures.sign(a_seed("unit-1"), key_change_bytes("unit-1", new_key, 7))
    body = {"public_key": text_of(new_key), "from_seq": 7, "signature": text_of(signature)}

    answer = desk.fleet.post("/v1/devices/unit-1/keys", body)

    assert answer.status_code == 201
    assert answer.json() == {"device_id": "unit-1", "kid": signatures.key_id(new_key).hex(), "from_seq": 7}
    old, new = desk.fleet.get("/v1/devices/unit-1").json()["keys"]
    assert (old["until_seq"], old["revoked"], new["from_seq"]) == (7, False, 7)


def test_a_key_without_a_signature_revokes_the_old_one(desk):
    desk.register("unit-1")

    desk.fleet.post("/v1/devices/unit-1/keys", {"public_key": text_of(a_public_key("new")), "from_seq": 1_000})

    assert desk.fleet.get("/v1/devices/unit-1").json()["keys"][0]["revoked"] is True


def test_a_key_cannot_begin_at_a_number_that_waits(desk):
    desk.register("unit-1")
    with transaction(desk.books.engine) as session:
        parking.park(session.connection(), [Parked("unit-1", 9, bytes(32), b"", None, 1)])

    answer = desk.fleet.post("/v1/devices/unit-1/keys", {"public_key": text_of(a_public_key("new")), "from_seq": 9})

    assert code_of(answer) == (409, "key_number_taken")


def test_a_new_claim_code_ends_the_one_before_and_is_shown_once(desk):
    (item,) = desk.register("unit-1")

    answer = desk.fleet.post("/v1/devices/unit-1/claim-codes", key="k")
    again = desk.fleet.post("/v1/devices/unit-1/claim-codes", key="k")

    expires_at = rfc3339(desk.clock.now_s() + 90 * DAY_S)
    assert answer.status_code == again.status_code == 201
    assert answer.json()["expires_at"] == expires_at
    assert again.json() == {"expires_at": expires_at, "code": "secret_already_shown"}
    codes = (item["claim_code"], answer.json()["claim_code"])
    old, new = desk.books.ledger.rows([claim_key(code) for code in codes])
    assert old is None
    assert isinstance(new, Claim)


def claim_key(code: str) -> str:
    """The ledger's key of the claim that a customer who types `code` finds."""
    claim_hash = claim_codes.hash_of(code)
    assert claim_hash is not None
    return state.claim_key(claim_hash)


def test_suspending_without_a_body_and_with_an_empty_one_is_asking_twice(desk):
    desk.register("unit-1")
    first = desk.fleet.post("/v1/devices/unit-1/suspend", key="k")

    again = desk.fleet.post("/v1/devices/unit-1/suspend", {}, key="k")

    assert (first.status_code, first.json()) == (200, {"device_id": "unit-1", "state": "suspended"})
    assert (again.status_code, again.json()) == (first.status_code, first.json())
