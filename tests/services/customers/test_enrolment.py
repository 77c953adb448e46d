"""Becoming a customer, once, whatever breaks on the way."""

from typing import Any, Final

import pytest

from contracts import state
from contracts.state import Customer
from services.customers import people
from services.customers.people import Person
from services.ledger.client import LedgerUnavailable
from tests.services.customers.platform import NOON_S, PASSWORD, Platform, an_enrolment


def enrol(platform: Platform, *, key: str | None = None, **given: Any):
    headers = {"Idempotency-Key": key} if key else {}
    return platform.call("POST", "/v1/customers", headers=headers, json=an_enrolment(**given))


def on_ledger(platform: Platform) -> list[str]:
    return [row.customer_id for _, row in platform.ledger.find("customer") if isinstance(row, Customer)]


def test_a_person_becomes_a_pseudonym_on_the_ledger_and_nothing_of_them_goes_there(platform):
    answered = enrol(platform, participation_level="partner")

    assert answered.status_code == 201
    customer_id = answered.json()["customer_id"]
    assert platform.ledger.rows([state.customer_key(customer_id)]) == [
        Customer(customer_id, "partner", "partner", 0, enrolled_s=NOON_S)
    ]
    person = people.by_id(platform.engine, customer_id)
    assert isinstance(person, Person)
    assert (person.email, person.consent_at_s, bool(person.consent_version)) == ("ann@example.com", NOON_S, True)
    assert PASSWORD not in person.password_hash
    assert person.password_hash.startswith("$argon2id$")


def test_the_first_level_is_saver_if_none_is_chosen(platform):
    (row,) = platform.ledger.rows([state.customer_key(enrol(platform).json()["customer_id"])])

    assert isinstance(row, Customer)
    assert row.level == "saver"


WRONG: Final[list[dict[str, Any]]] = [
    {"consent": False},
    {"consent": None},
    {"consent": 1},
    {"email": "nobody"},
    {"email": "a@b@c"},
    {"email": "ann@example.com\n.org"},
    {"password": "short"},
    {"name": ""},
    {"name": "An\0n"},
    {"postal_code": "?"},
    {"language": "de"},
    {"surname": "Tremblay"},
    {"participation_level": 3},
]


def test_a_wrong_field_is_named(platform):
    for wrong in WRONG:
        answered = enrol(platform, **wrong)

        assert answered.status_code == 422, wrong
        assert answered.headers["content-type"] == "application/problem+json"
        assert answered.json()["fields"][0]["field"] == next(iter(wrong))
    assert on_ledger(platform) == []


def test_a_level_that_the_programme_does_not_have_is_refused(platform):
    answered = enrol(platform, participation_level="hero")

    assert (answered.status_code, answered.json()["code"]) == (422, "unknown_level")
    assert people.by_email(platform.engine, "ann@example.com") is None


@pytest.mark.parametrize("email", ["ann@example.com", "ANN@Example.COM"])
def test_an_email_is_good_for_one_customer(platform, email):
    enrol(platform)

    answered = enrol(platform, email=email, name="Another Ann")

    assert (answered.status_code, answered.json()["code"]) == (409, "email_taken")
    assert len(on_ledger(platform)) == 1


def test_the_same_key_and_body_get_the_same_answer_and_no_second_customer(platform):
    first = enrol(platform, key="k")
    again = enrol(platform, key="k")

    assert (again.status_code, again.content) == (201, first.content)
    assert len(on_ledger(platform)) == 1


@pytest.mark.parametrize("other", [{"name": "Bob"}, {"email": "bob@example.com"}], ids=str)
def test_the_same_key_with_another_body_is_refused(platform, other):
    enrol(platform, key="k")

    answered = enrol(platform, key="k", **other)

    assert (answered.status_code, answered.json()["code"]) == (422, "idempotency_key_reused")
    assert people.by_email(platform.engine, "bob@example.com") is None


def test_the_refusal_of_a_taken_email_is_an_answer_too(platform):
    enrol(platform)

    refused = enrol(platform, key="k", name="Another Ann")
    again = enrol(platform, key="k", name="Another Ann")
    other = enrol(platform, key="k", email="bob@example.com")

    assert (refused.status_code, refused.json()["code"]) == (409, "email_taken")
    assert (again.status_code, again.json()) == (409, refused.json())
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert people.by_email(platform.engine, "bob@example.com") is None


@pytest.mark.parametrize("key", ["k", None], ids=["with a key", "without a key"])
def test_a_crash_between_the_ledger_and_the_person_is_repaired_by_asking_again(platform, key, monkeypatch):
    def crash(*_: object) -> bool:
        raise LedgerUnavailable("the process ended here")

    with monkeypatch.context() as broken:
        broken.setattr(people, "add", crash)
        assert enrol(platform, key=key).status_code == 503

    answered = enrol(platform, key=key)

    assert answered.status_code == 201
    assert answered.json()["customer_id"] in on_ledger(platform)
    assert platform.sign_in("ann@example.com")


def test_of_two_who_enroll_with_one_email_at_once_one_wins(platform):
    call = ("POST", "/v1/customers", {"json": an_enrolment()})

    statuses = sorted(answer.status_code for answer in platform.call_together([call, call]))

    assert statuses == [201, 409]
    assert platform.sign_in("ann@example.com")


def test_what_the_ledger_keeps_of_an_enrolment_does_not_let_anybody_test_a_password(platform):
    """The digest of the body is keyed: it differs from one platform to another."""
    enrol(platform, key="k")
    (entry,) = [e for i in range(10) if (e := platform.ledger.entry(i)) and e.kind == "enroll_customer"]

    assert set(entry.command) == {"kind", "customer_id", "level"}
    assert PASSWORD not in str(entry)
