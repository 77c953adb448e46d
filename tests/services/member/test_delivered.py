"""Payloads reach a member by its role, each page is signed for, and one that was lost on the way comes again."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest
from fastapi import APIRouter, Request, Response
from sqlalchemy import select

from contracts import programmes
from contracts.approvals import approve_bytes
from contracts.governed import ChangeMember
from contracts.wire import signatures
from services.clock import SimulatedClock
from services.database import reading
from services.ledger import deliveries, delivering
from services.ledger.tables import DELIVERIES
from services.member.operator import Credentials, Log, Payloads, Unreachable
from tests.services.ledger import builders
from tests.services.ledger.builders import Books, Home, code, fund, purchase, request, running, shop, verified
from tests.services.ledger.http_ledger import serving_routers
from tests.services.member import stage
from tests.services.member.stage import NETWORK_SEED, ORIGIN, SEED, Proxy, operator

ANN = "customer-1"
ROLES = ("network", "retailer")


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    """The operator's ledger: purchases, and then a utility and a network as members."""
    with running(f"sqlite:///{tmp_path / 'operator.db'}") as books:
        home = Home()
        books.accept(fund(), *home.joining(), verified(ANN), shop())
        books.accept(home.record(intervals=6, pv_wh=400), code("a", ANN), purchase("a"))
        stage.admit(books, "hydro", "", SEED, approved_by={})
        stage.admit(books, "newnet", "", NETWORK_SEED, approved_by={"hydro": SEED}, role="network")
        yield books


def newnet(database_url: str, url: str):
    return stage.member(database_url, url, who="newnet", seed=NETWORK_SEED, is_given=True)


def change_role(books: Books, role: str) -> None:
    said = ChangeMember(2, "newnet", "The newnet", role, "", "newnet.example/given", ())
    message = approve_bytes(ORIGIN, said)
    seeds = {"hydro": SEED, "newnet": NETWORK_SEED}
    approvals = tuple((who, signatures.sign(seed, message)) for who, seed in seeds.items())
    books.accept(request(replace(said, approvals=approvals)))


def test_a_member_that_is_admitted_later_is_given_its_collections_from_the_first_entry(books: Books, sqlite_url: str):
    with operator(books) as url, newnet(sqlite_url, url) as own:
        own.round()

        assert own.node.status().disagreements == 0, own.node.memory.standing()
        assert own.node.status().executed == 6  # the first, the shop, a code, its purchase, two admissions
        assert own.offer(books.queries.checkpoint()).status_code == 200


def test_after_a_change_of_role_a_copy_stops_and_a_new_one_goes_on(books: Books, tmp_path: Path):
    with operator(books) as url:
        with newnet(f"sqlite:///{tmp_path / 'one.db'}", url) as own:
            own.round()
            size = books.queries.size()
            change_role(books, "retailer")
            own.round()

            (found,) = own.node.memory.standing()
            assert (found.difference.index, found.difference.ours, found.difference.theirs) == (
                size,
                *(deliveries.words(frozenset(programmes.load().role_collections[role])) for role in ROLES),
            )
        with newnet(f"sqlite:///{tmp_path / 'two.db'}", url) as own:
            own.round()

            assert own.node.status().executed == 4  # the first, two admissions, the change
            assert own.offer(books.queries.checkpoint()).status_code == 200


def test_a_copy_that_was_never_given_all_that_its_role_sees_signs_nothing(books: Books, sqlite_url: str):
    def keep_back(path: str, body: bytes) -> bytes:
        if path != deliveries.PATH.removeprefix("/"):
            return body
        page = deliveries.from_bytes(body)
        payloads = {index: told for index, told in page.payloads.items() if index not in at_tills}
        return deliveries.to_bytes(replace(page, payloads=payloads, collections=frozenset({"governance"})))

    tills = ("admit_retailer", "issue_checkout_code", "authorize")
    at_tills = {one.index for one in books.queries.recorded(0, books.queries.size()) if one.kind in tills}
    with (
        operator(books) as url,
        serving_routers(Proxy(url, keep_back).router()) as between,
        newnet(sqlite_url, between) as own,
    ):
        signed = own.offer(books.queries.checkpoint())

        assert (signed.status_code, own.node.status().disagreements) == (422, 0)
        assert "collections" in signed.text


@dataclass
class Lossy:
    """Stands between a member and the operator; the calls for payloads in `loses` get no answer.

    loses  by the number of the call: "before" the operator has it, or "after"
    """

    upstream: str
    loses: dict[int, str]
    calls: int = 0

    def router(self) -> APIRouter:
        router = APIRouter()

        @router.get(deliveries.PATH)
        def payloads(call: Request) -> Response:
            self.calls += 1
            loss = self.loses.get(self.calls, "")
            if loss == "before":
                return Response(status_code=502)
            wanted = {"authorization", "sparks-received"}
            headers = {name: value for name, value in call.headers.items() if name in wanted}
            answer = httpx.get(f"{self.upstream}{deliveries.PATH}?{call.url.query}", headers=headers)
            if loss == "after":
                return Response(status_code=502)
            kept = {name: value for name, value in answer.headers.items() if name == "sparks-delivery"}
            media_type = answer.headers["content-type"]
            return Response(answer.content, answer.status_code, headers=kept, media_type=media_type)

        return router


def delivered(books: Books) -> list[tuple[int, int, int, bool]]:
    """Number, first, after, and whether it was signed for."""
    columns = (DELIVERIES.c.number, DELIVERIES.c.first, DELIVERIES.c.after, DELIVERIES.c.receipt)
    with reading(books.engine) as session:
        found = session.execute(select(*columns).order_by(DELIVERIES.c.number)).all()
    return [(number, first, after, receipt is not None) for number, first, after, receipt in found]


@pytest.mark.parametrize("loss", ["before", "after"], ids=["it failed", "it failed but happened"])
@pytest.mark.parametrize("call", [1, 2, 3])
def test_a_page_that_was_lost_comes_again_under_its_number(
    books: Books, monkeypatch: pytest.MonkeyPatch, loss: str, call: int
):
    monkeypatch.setattr(delivering, "ENTRIES_MAX", 4)
    size = books.queries.size()
    with operator(books) as url, serving_routers(Lossy(url, {call: loss}).router()) as between:
        credentials = Credentials(origin=ORIGIN, member_id="newnet", seed=NETWORK_SEED)
        log = Log(between)
        payloads, first, lost = Payloads(log, credentials, SimulatedClock(builders.NOON_S).now_s), 0, 0
        while first < size:
            try:
                page = payloads.page(first)
            except Unreachable:
                lost += 1
                continue
            assert page.first == first
            first = page.after
        payloads.page(first)
        log.close()

    assert lost == 1
    assert delivered(books) == [
        (number + 1, start, min(start + 4, size), True) for number, start in enumerate(range(0, size, 4))
    ]


def test_a_member_that_lost_its_memory_has_the_last_page_again_before_it_gets_the_next(
    books: Books, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(delivering, "ENTRIES_MAX", 4)
    with operator(books) as url:
        log = Log(url)
        credentials = Credentials(origin=ORIGIN, member_id="newnet", seed=NETWORK_SEED)
        now_s = SimulatedClock(builders.NOON_S).now_s
        first = Payloads(log, credentials, now_s).page(0)
        second = Payloads(log, credentials, now_s).page(first.after)
        log.close()

    assert (second.first, second.after) == (4, 8)
    assert delivered(books) == [(1, 0, 4, True), (2, 4, 8, False)]
