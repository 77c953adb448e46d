"""Proposals on their way to the ledger, on each engine: kept, listed, and carried once whatever dies in between."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import pytest

from contracts import state
from contracts.commands import Request
from contracts.state import Membership
from services.ledger.client import Ledger, LedgerUnavailable, Outcome
from tests.services.asgi import Http
from tests.services.operations.conftest import app_of, code_of
from tests.services.operations.council import approve, found, propose

QUORUM = {"kind": "set_quorum", "quorum": 1}


def test_a_proposal_is_carried_by_the_last_approval_that_it_needs(desk):
    found(desk, "hydro", "interac", "auditor")
    proposal = propose(desk, QUORUM)

    first = approve(desk.as_(), proposal, "auditor")
    assert (first.json()["state"], first.json()["needed"]) == ("open", 2)
    second = approve(desk.as_(), proposal, "hydro")

    assert (second.json()["state"], second.json()["approvals"]) == ("carried", ["auditor", "hydro"])
    entry = desk.books.ledger.entry(second.json()["entry_index"])
    assert (entry.kind, entry.command["quorum"]) == ("set_quorum", 1)
    assert approve(desk.as_(), proposal, "hydro").json() == second.json()
    assert desk.as_().get("/v1/proposals").json()["items"][0]["state"] == "carried"


def test_proposals_are_listed_page_by_page_the_newest_first(desk):
    found(desk, "hydro")
    made = [propose(desk, QUORUM)["id"] for _ in range(4)]

    listed: list[str] = []
    page: dict[str, Any] = {"next_cursor": ""}
    while page["next_cursor"] is not None:
        after = page["next_cursor"] and f"&cursor={page['next_cursor']}"
        page = desk.as_().get(f"/v1/proposals?limit=2{after}").json()
        listed += [item["id"] for item in page["items"]]

    assert len(listed) == len(set(listed)) == 5
    assert set(made) < set(listed)
    assert code_of(desk.as_().get("/v1/proposals?cursor=eHg")) == (400, "invalid_cursor")


# It failed, and it failed but happened


class Dying:
    """The ledger, which dies once: before it does what it is asked, or after."""

    def __init__(self, ledger: Ledger, when: str) -> None:
        self._ledger = ledger
        self._when = when

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    def submit(self, requests: Sequence[Request]) -> list[Outcome]:
        if self._when == "after":
            self._ledger.submit(requests)
        raise LedgerUnavailable("the process ended here")


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("repair", ["the approval again", "a look at it"])
def test_a_crash_around_the_ledger_s_answer_carries_a_proposal_once(desk, when, repair):
    found(desk, "hydro")
    proposal = propose(desk, QUORUM)
    dying = Http(app_of(dataclasses.replace(desk.office, ledger=Dying(desk.office.ledger, when))))
    size = desk.books.ledger.head().size

    assert code_of(approve(dying, proposal, "hydro")) == (503, "ledger_unavailable")
    if repair == "a look at it":
        mended = desk.as_().get(f"/v1/proposals/{proposal['id']}").json()
    else:
        mended = approve(desk.as_(), proposal, "hydro").json()

    assert (mended["state"], mended["entry_index"]) == ("carried", size)
    assert desk.books.ledger.head().size == size + 1
    assert desk.books.ledger.rows([state.MEMBERSHIP_KEY]) == [Membership(2, ("hydro",), 1)]
