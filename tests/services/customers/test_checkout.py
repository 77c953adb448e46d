"""Checkout codes: their digits, their life, what the ledger learns of them."""

from hypothesis import given
from hypothesis import strategies as st

from contracts import state
from contracts.state import CheckoutCode
from services.customers.codes import code_from, code_hash, luhn_digit
from tests.services.customers.platform import NOON_S

CODE_S = 300


def luhn_accepts(number: str) -> bool:
    """ISO/IEC 7812-1, written the other way round than the code under test."""
    digits = [int(digit) for digit in number[::-1]]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[1::2]]
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0


@given(secret=st.binary(min_size=32, max_size=32))
def test_a_code_has_18_digits_and_makes_a_pan_that_luhn_accepts(secret):
    code = code_from(secret)

    assert len(code) == 18
    assert code.isascii()
    assert code.isdigit()
    assert luhn_accepts("9" + code)


def test_the_check_digit_of_a_known_number():
    assert luhn_digit("7992739871") == "3"


def test_a_code_is_for_100_dollars_and_five_minutes(platform):
    ann = platform.customer()

    issued = ann.post("/v1/me/checkout-codes")

    assert issued.status_code == 201
    code = issued.json()["code"]
    assert issued.json() == {"code": code, "expires_at": "2026-07-06T16:05:00Z"}
    assert platform.ledger.rows([state.code_key(code_hash(code))]) == [CheckoutCode(ann.id, 10_000, NOON_S + CODE_S)]


def test_the_ledger_never_sees_the_code_itself(platform):
    code = platform.customer().code()

    entry = platform.ledger.entry(platform.ledger.head().size - 1)

    assert entry is not None
    assert entry.kind == "issue_checkout_code"
    assert code not in str(entry)


def test_the_same_key_gives_the_same_code_and_another_key_another(platform):
    ann, bob = platform.customer(), platform.customer()

    first, again = (ann.post("/v1/me/checkout-codes", {"max_cents": 500}, key="k") for _ in range(2))

    assert (again.status_code, again.content) == (201, first.content)
    assert ann.post("/v1/me/checkout-codes", {"max_cents": 501}, key="k").json()["code"] == "idempotency_key_reused"
    others = {ann.code(), ann.code(), bob.post("/v1/me/checkout-codes", {"max_cents": 500}, key="k").json()["code"]}
    assert len(others | {first.json()["code"]}) == 4


def test_a_code_is_for_at_least_a_cent_and_at_most_999_999_dollars_99(platform):
    ann = platform.customer()

    for max_cents, status in ((1, 201), (0, 422), (-1, 422), (99_999_999, 201), (100_000_000, 422), (10**30, 422)):
        assert ann.post("/v1/me/checkout-codes", {"max_cents": max_cents}).status_code == status, max_cents
    for wrong in ("100", 1.5, True):
        assert ann.post("/v1/me/checkout-codes", {"max_cents": wrong}).json()["code"] == "validation_failed"


def test_a_call_without_any_body_means_the_defaults(platform):
    ann = platform.customer()
    headers = ann.headers | {"Idempotency-Key": "k"}

    assert platform.call("POST", "/v1/me/checkout-codes", headers=headers).status_code == 201
