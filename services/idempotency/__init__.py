"""Asking twice is answered once: the `Idempotency-Key` of a request, and what became of it.

Owns how a key, a caller and a body become the ledger's request id and digest, and the answers of calls that are more
than one ledger command. Refuses to know what a call does.
"""

from services.idempotency.answers import SECRET_ALREADY_SHOWN, Answer, Answers
from services.idempotency.asked import Asked, asked_by, asked_by_anyone, keyed_digest, part_of
from services.idempotency.outcomes import outcome_of, rejected

__all__ = [
    "SECRET_ALREADY_SHOWN",
    "Answer",
    "Answers",
    "Asked",
    "asked_by",
    "asked_by_anyone",
    "keyed_digest",
    "outcome_of",
    "part_of",
    "rejected",
]
