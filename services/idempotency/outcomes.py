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
    Reason.STALE_SERIAL: "Something else was decided meanwhile; propose it again.",
    Reason.TOO_FEW_APPROVALS: "Too few members have approved it.",
    Reason.BAD_APPROVAL: "The member did not sign this, or not with one of its govern keys.",
    Reason.APPROVAL_KEY_EXPIRED: "The key that signed is not valid now.",
    Reason.APPROVED_TWICE: "One member approves once.",
    Reason.APPROVER_NOT_MEMBER: "Whoever signed is no member, or no more.",
    Reason.INVALID_COSIGN_NAME: "A co-signing name ends in /all or /given, as the role's collections are.",
    Reason.KEY_NOT_PROVEN: "A new key signs for whom, for what and for how long it is, and this one did not.",
    Reason.INVALID_MEMBER_KEY: "A key has 32 bytes, a use, and ends later than now, within the programme's years.",
    Reason.LAST_GOVERN_KEY: "A member keeps a govern key; add the next one first.",
    Reason.LAST_MEMBER: "The last member stays.",
    Reason.INVALID_QUORUM: "A quorum is at most the number of members that can co-sign now.",
    Reason.QUORUM_OUT_OF_REACH: "Too few members could co-sign then; lower the quorum first, or admit another.",
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
