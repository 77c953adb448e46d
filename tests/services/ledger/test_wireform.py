"""What the two ends say to each other arrives as it was meant."""

import pytest

from contracts.effects import Reason
from services.ledger import wireform
from services.ledger.client import Accepted, Declined, Failed, Outcome, Reused, Running


@pytest.mark.parametrize(
    "outcome",
    [
        Accepted(7, 1_782_810_000, {"pack": bytes(32), "awards": {"self_supply": 1}, "holder": None}),
        Accepted(0, 1, {}, repeated=True),
        Declined(Reason.NOT_YET_DUE, {"due_s": 1_782_810_000}),
        Reused(),
        Running(),
        Failed("ValueError: no"),
    ],
)
def test_every_outcome_survives_the_way(outcome: Outcome) -> None:
    assert wireform.to_outcome(wireform.from_body(wireform.to_body(wireform.of_outcome(outcome)))) == outcome


@pytest.mark.parametrize("body", [b"", b"\xff", b"\x82\x01"])
def test_what_is_no_cbor_is_an_error_of_value(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        wireform.from_body(body)


def test_large_requests_are_divided_by_their_bytes() -> None:
    requests = [bytes(32_000) for _ in range(300)]

    calls = list(wireform.in_calls(requests))

    assert [request for call in calls for request in call] == requests
    assert max(sum(map(len, call)) for call in calls) <= wireform.REQUESTS_BYTES_MAX


def test_small_requests_are_divided_by_their_number() -> None:
    calls = list(wireform.in_calls([b"x"] * 2_500))

    assert [len(call) for call in calls] == [1_000, 1_000, 500]
