"""What the ledger answered, as an HTTP client has to hear it."""

from typing import Final, assert_never

from contracts.effects import Reason
from services.ledger.client import Accepted, Declined, Failed, Outcome, Reused, Running
from services.problems import Problem

_SENTENCES: Final = {
    Reason.CUSTOMER_CLOSED: "The account is closed for good.",
    Reason.UNKNOWN_RECIPIENT: "What is left can go to another customer only, and not while the account is frozen.",
    Reason.CLAIM_CODE_EXPIRED: "The claim code has expired; the fleet's operator can issue another.",
    Reason.KEY_NUMBER_TAKEN: "A number from from_seq on is decided or waiting already.",
    Reason.BAD_KEY_SIGNATURE: "The old key did not sign this change, or the key is not an Ed25519 key.",
    Reason.EVENT_TOO_SOON: "The event starts sooner than the programme's notice allows.",
    Reason.CAPTURE_ABOVE_HOLD: "The amount is above what is held.",
    Reason.REFUND_ABOVE_SALE: "The amount is above what is left of the sale.",
    Reason.REFUND_TOO_LATE: "The sale is too long ago to be refunded.",
    Reason.REFUSED_AGAIN: "The pack still does not count.",
    Reason.INVALID_STATE: "That is not possible in the present state.",
}


def outcome_of(outcome: Outcome) -> Accepted:
    """Return the outcome if the ledger accepted, else raise the problem that it is."""
    match outcome:
        case Accepted():
            return outcome
        case Declined():
            raise rejected(outcome)
        case Reused():
            raise reused()
        case Running():
            raise running()
        case Failed():
            raise Problem("internal_error", "Something went wrong here. Ask again with the same Idempotency-Key.")
    assert_never(outcome)


def rejected(declined: Declined) -> Problem:
    """The contract rejected what was asked; its facts become members of the problem."""
    sentence = _SENTENCES.get(declined.reason, f"The ledger answered: {declined.reason.replace('_', ' ')}.")
    return Problem(declined.reason, sentence, extras=declined.facts)


def reused() -> Problem:
    """The key was used before with another body."""
    return Problem("idempotency_key_reused", "This Idempotency-Key was used before for another body.")


def running() -> Problem:
    """The first request with the key is still being worked on."""
    return Problem("request_in_progress", "The first request with this Idempotency-Key is still running.")
