"""Who a customer is, and what they may change."""

from contracts.commands import AttestIdentity
from contracts.units import HOUR_S
from tests.services.customers.platform import NOON_S

MIDNIGHT_S = NOON_S + 12 * HOUR_S


def test_a_customer_sees_who_they_are(platform):
    ann = platform.customer(name="ann", identity="unverified")

    me = ann.get("/v1/me").json()

    assert me.pop("consent")["at"] == "2026-07-06T16:00:00Z"
    assert me == {
        "customer_id": ann.id,
        "email": "ann-1@example.com",
        "name": "Ann Tremblay",
        "postal_code": "M5V 3L9",
        "language": "en",
        "participation_level": "saver",
        "participation_level_next": None,
        "effective_at": None,
        "identity": "unverified",
        "identity_expires_at": None,
        "frozen": False,
        "enrolled_at": "2026-07-06T16:00:00Z",
    }


def test_a_level_changes_at_the_next_local_midnight(platform):
    ann = platform.customer(name="ann")

    changed = ann.patch("/v1/me", {"participation_level": "partner"})

    def levels() -> tuple[str, str | None, str | None]:
        me = ann.get("/v1/me").json()
        return me["participation_level"], me["participation_level_next"], me["effective_at"]

    assert changed.status_code == 200
    assert levels() == ("saver", "partner", "2026-07-07T04:00:00Z")
    platform.clock.advance_to(NOON_S + 600)
    ann.patch("/v1/me", {"participation_level": "saver"})
    assert levels() == ("saver", None, None)
    ann.patch("/v1/me", {"participation_level": "observer"})
    platform.advance_to(MIDNIGHT_S, ann)
    assert levels() == ("observer", None, None)


def test_personal_data_changes_at_once_and_leaves_no_entry(platform):
    ann = platform.customer()
    size = platform.ledger.head().size

    changed = ann.patch("/v1/me", {"language": "fr", "name": " Anne ", "postal_code": "k1a 0b1"}).json()

    assert (changed["language"], changed["name"], changed["postal_code"]) == ("fr", "Anne", "K1A 0B1")
    assert ann.get("/v1/me").json() == changed
    assert platform.ledger.head().size == size


def test_a_change_that_makes_no_sense_changes_nothing(platform):
    ann = platform.customer()
    before = ann.get("/v1/me").json()

    nonsense: list[object] = [
        {"participation_level": "hero"},
        {"language": None},
        {"email": "bob@example.com"},
        [],
        {"name": " "},
    ]
    for wrong in nonsense:
        assert ann.patch("/v1/me", wrong).status_code == 422, wrong
    assert ann.patch("/v1/me", {"participation_level": "hero", "name": "Hero"}).json()["code"] == "unknown_level"
    assert ann.patch("/v1/me", {}).json() == before


def test_an_identity_is_unverified_from_its_expiry_on(platform):
    ann = platform.customer(identity="unverified")
    platform.do(AttestIdentity(ann.id, "enhanced", "bank", NOON_S + 60))

    def identity() -> tuple[str, str | None]:
        me = ann.get("/v1/me").json()
        return me["identity"], me["identity_expires_at"]

    platform.clock.advance_to(NOON_S + 59)
    assert identity() == ("enhanced", "2026-07-06T16:01:00Z")
    platform.clock.advance_to(NOON_S + 60)
    assert identity() == ("unverified", None)


def test_freezing_and_unfreezing_answer_a_repeat_as_the_first_time(platform):
    ann = platform.customer()

    assert ann.post("/v1/me/freeze", key="1").json() == {"frozen": True}
    assert ann.get("/v1/me").json()["frozen"] is True
    assert ann.post("/v1/me/unfreeze", key="2").json() == {"frozen": False}
    assert ann.post("/v1/me/freeze", key="1").json() == {"frozen": True}
    assert ann.get("/v1/me").json()["frozen"] is False
    assert ann.post("/v1/me/freeze", {"why": "lost"}).status_code == 422
