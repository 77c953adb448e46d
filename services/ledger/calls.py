"""What callers ask the writer, one or many requests at a time, and how each call is answered."""

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import NamedTuple

from contracts.commands import Request
from services.ledger.client import Outcome


@dataclass(slots=True, eq=False)
class Call:
    """What one caller asked for together."""

    future: Future[list[Outcome]]
    outcomes: list[Outcome | None]
    unanswered: int

    def answer(self, place: int, outcome: Outcome) -> None:
        """Answer one of the requests; the caller hears of it when all are answered."""
        self.outcomes[place] = outcome
        self.unanswered -= 1
        if not self.unanswered:
            self.future.set_result([known for known in self.outcomes if known is not None])

    def fail(self, error: Exception) -> None:
        """Tell the caller, once, that this could not be done."""
        if not self.future.done():
            self.future.set_exception(error)


class Asked(NamedTuple):
    """One request and who waits for it (None: the writer itself)."""

    request: Request
    call: Call | None
    place: int


def begin(requests: Sequence[Request]) -> tuple[Call, list[Asked]]:
    """A call for these requests, none of them answered yet."""
    call = Call(Future(), [None] * len(requests), len(requests))
    call.future.set_running_or_notify_cancel()  # a caller who goes away does not undo what was asked
    if not requests:
        call.future.set_result([])
    return call, [Asked(request, call, place) for place, request in enumerate(requests)]
