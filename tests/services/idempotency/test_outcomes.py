"""What the ledger answered, as a client hears it."""

import pytest

from contracts.effects import Reason
from services.idempotency import outcome_of
from services.ledger.client import Accepted, Declined, Failed, Reused, Running
from services.problems import STATUS_BY_CODE, Problem


def test_what_was_accepted_is_given_on():
    accepted = Accepted(3, 1_000, {"device": "unit-1"})

    assert outcome_of(accepted) is accepted


@pytest.mark.parametrize("reason", list(Reason))
def test_every_rejection_is_a_problem_with_its_facts(reason):
    with pytest.raises(Problem) as raised:
        outcome_of(Declined(reason, {"seq": 7}))

    assert (raised.value.code, raised.value.status_code) == (reason, STATUS_BY_CODE[reason])
    assert raised.value.document["seq"] == 7
    assert raised.value.detail.endswith(".")


@pytest.mark.parametrize(
    ("outcome", "status", "code"),
    [
        (Reused(), 422, "idempotency_key_reused"),
        (Running(), 409, "request_in_progress"),
        (Failed("secret detail"), 500, "internal_error"),
    ],
)
def test_anything_else_is_a_problem_of_its_own(outcome, status, code):
    with pytest.raises(Problem) as raised:
        outcome_of(outcome)

    assert (raised.value.status_code, raised.value.code) == (status, code)
    assert "secret" not in str(raised.value.document)
