"""A member's copy erases when the operator does; one that comes later takes what is erased as committed and goes on."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from fastapi import APIRouter, HTTPException
from sqlalchemy import select

from contracts.commands import CloseAccount, EraseCustomer, LeaveUnit
from contracts.wire import cbor, erasures, signatures
from contracts.wire.erasures import ErasureReceipt
from services.database import reading
from services.encoding import bytes_of
from services.ledger.tables import PAYLOADS, STATE
from tests.services.ledger.builders import Books, Home, code, fund, purchase, request, running, shop, verified
from tests.services.member.stage import ORIGIN, SEED, MemberNode, member, operator, say_erased

ANN, BOB = "customer-1", "customer-2"


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    """The operator's ledger, with two homes that earn and pay."""
    with running(f"sqlite:///{tmp_path / 'operator.db'}") as books:
        yield books


def live(books: Books) -> tuple[Home, Home]:
    ann, bob = Home(), Home("unit-2", BOB)
    books.accept(*ann.joining(), *bob.joining(), verified(ANN), verified(BOB), shop(), fund(1))
    for _ in range(3):
        books.accept(ann.record(intervals=6, pv_wh=400), bob.record(intervals=6, pv_wh=400))
    books.accept(fund(1_000), ann.record(load_wh=9_999))
    for name, holder in (("a1", ANN), ("b1", BOB), ("a2", ANN)):
        books.accept(code(name, holder), purchase(name))
    return ann, bob


def erase(books: Books, customer_id: str = ANN) -> tuple[int, ...]:
    books.accept(request(CloseAccount(customer_id, None)))
    named = books.queries.erasable(customer_id)
    books.accept(request(EraseCustomer(customer_id, named.indexes, named.rows)))
    return named.indexes


def erased(own: MemberNode) -> set[int]:
    with reading(own.engine) as session:
        return set(session.scalars(select(PAYLOADS.c.index).where(PAYLOADS.c.request == b"")))


def assert_same_state(books: Books, own: MemberNode) -> None:
    query = select(STATE.c.key, STATE.c.version, STATE.c.value).order_by(STATE.c.key)
    with reading(books.engine) as theirs, reading(own.engine) as ours:
        assert ours.execute(query).all() == theirs.execute(query).all()


def test_a_copy_that_was_there_erases_what_the_entry_names(books: Books, database_url: str):
    _, bob = live(books)
    with operator(books) as url, member(database_url, url) as own:
        own.round()
        assert erased(own) == set()
        # While it looks away nothing of it is gone yet; then all of it is.
        named = erase(books)
        books.accept(bob.record())
        own.round()

        assert erased(own) == set(named)
        report = own.verify()
        assert report.ok, report.findings
        assert_same_state(books, own)
        assert own.node.status().disagreements == 0


def test_a_copy_that_comes_later_goes_on_from_the_rows_that_are_carried(books: Books, database_url: str):
    _, bob = live(books)
    named = erase(books)
    books.accept(bob.record(), code("b2", BOB), purchase("b2"))
    with operator(books) as url, member(database_url, url) as own:
        own.round()

        assert own.node.status().disagreements == 0, own.node.memory.standing()
        assert erased(own) == set(named)
        report = own.verify()
        assert report.ok, report.findings
        assert report.taken == len(named)
        assert_same_state(books, own)


def test_a_later_copy_follows_a_unit_that_changed_hands(books: Books, database_url: str):
    ann, bob = live(books)
    books.accept(request(LeaveUnit(ANN, "unit-1")), ann.record())
    named = erase(books)
    books.accept(ann.record(), bob.record())
    with operator(books) as url, member(database_url, url) as own:
        own.round()

        assert own.node.status().disagreements == 0, own.node.memory.standing()
        report = own.verify()
        assert report.ok, report.findings
        assert report.taken == len(named) + 1  # the pack that read the unit's meter before the erasure carried it
        assert_same_state(books, own)


@pytest.mark.parametrize("kind", ["enroll_customer", "record_pack", "authorize", "deposit_reserve"])
def test_an_erasure_of_what_is_not_about_that_person_is_refused_and_nothing_is_erased(
    books: Books, sqlite_url: str, kind: str
):
    live(books)
    books.accept(request(CloseAccount(ANN, None)))
    named = books.queries.erasable(ANN)
    recorded = books.queries.recorded(0, books.queries.size())
    other = next(entry.index for entry in recorded if entry.kind == kind and entry.index not in named.indexes)
    with operator(books) as url:
        with member(sqlite_url, url) as own:
            own.round()
            books.accept(request(EraseCustomer(ANN, tuple(sorted((*named.indexes, other))), named.rows)))
            own.round()
        with member(sqlite_url, url) as own:
            (found,) = own.node.memory.standing()
            assert found.difference.index == books.queries.size() - 1
            assert found.difference.what == f"entry {other} is erased here"
            assert erased(own) == set()
            assert own.offer(books.queries.checkpoint()).status_code == 422


@pytest.mark.parametrize(
    "effects",
    [
        [[["spark", "minted", "much"]], [], bytes(32)],
        [[["spark", "minted", 1 << 64], ["spark", "fees", -(1 << 64)]], [], bytes(32)],
        [[["spark", "\0", 0]], [], bytes(32)],
        [[], [["unit/unit-1", b"no hash"]], bytes(32)],
    ],
    ids=["amount", "large amount", "account", "hash"],
)
def test_effects_of_an_erased_entry_that_mean_nothing_are_refused(books: Books, sqlite_url: str, effects: object):
    live(books)
    index = next(entry.index for entry in books.queries.recorded(0, 30) if entry.kind == "record_pack")
    books.writer.stop()
    say_erased(books.engine, index, cbor.encode(effects))
    with operator(books) as url:
        with member(sqlite_url, url) as own:
            own.round()
        with member(sqlite_url, url) as own:
            (found,) = own.node.memory.standing()
            assert found.difference.index == index
            assert own.node.status().size == index
            assert own.offer(books.queries.checkpoint()).status_code == 422


@dataclass
class Desk:
    """Takes erasure receipts as the operator does, or fails: before, or after it has taken one."""

    taken: list[ErasureReceipt] = field(default_factory=list)
    fails: list[str] = field(default_factory=list)
    public_key: bytes = signatures.public_key_of(SEED)

    def router(self) -> APIRouter:
        router = APIRouter()

        @router.put("/v1/erasures/{index}/receipts/{who}", status_code=204)
        def take(index: int, who: str, body: dict[str, str]) -> None:
            failing = self.fails.pop() if self.fails else ""
            if failing == "before":
                raise HTTPException(503)
            data, signature = bytes_of(body["receipt"]), bytes_of(body["signature"])
            assert data is not None
            assert signature is not None
            assert signatures.verify(self.public_key, data, signature)
            self.taken.append(erasures.from_bytes(data))
            if failing == "after":
                raise HTTPException(503)

        return router


@pytest.mark.parametrize(
    ("fails", "expected"),
    [("", 1), ("before", 1), ("after", 2)],
    ids=["at once", "it failed", "it failed but happened"],
)
def test_a_copy_that_has_erased_says_so_until_it_is_taken(books: Books, tmp_path: Path, fails: str, expected: int):
    desk = Desk(fails=[fails])
    live(books)
    erase(books)
    size = books.queries.size()
    with operator(books, desk.router()) as url, member(f"sqlite:///{tmp_path / 'own.db'}", url, tells=True) as own:
        for _ in range(4):
            own.round()

    assert {(receipt.who, receipt.index, receipt.origin) for receipt in desk.taken} == {("auditor", size - 1, ORIGIN)}
    assert len(desk.taken) == expected
    assert desk.taken[0].customer_hash == hashlib.sha256(ANN.encode()).digest()
    assert desk.taken[0].backups_expire_s - desk.taken[0].erased_s == 7 * 86_400
