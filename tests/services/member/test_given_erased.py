"""A copy of some collections erases what it holds of a person, and nothing of anybody else, whatever it is told."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select, update

from contracts.wire import signatures
from services.database import reading, transaction
from services.ledger import deliveries, hashed
from services.ledger.deliveries import Notice
from services.ledger.tables import ERASURES, PAYLOADS, ROWS_READ, STATE
from tests.services.ledger.builders import Books, Home, code, purchase, running
from tests.services.ledger.http_ledger import serving_routers
from tests.services.member.stage import NETWORK, NETWORK_SEED, MemberNode, Proxy, network, operator
from tests.services.member.test_erased import ANN, BOB, Desk, erase, erased, live


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    """The operator's ledger, with two homes that earn and pay."""
    with running(f"sqlite:///{tmp_path / 'operator.db'}") as books:
        yield books


def at_tills(books: Books, indexes: tuple[int, ...]) -> set[int]:
    kinds = {entry.index: entry.kind for entry in books.queries.recorded(0, books.queries.size())}
    return {index for index in indexes if kinds[index] in ("authorize", "issue_checkout_code")}


def known_of(own: MemberNode, customer_id: str) -> set[str]:
    """The kinds of rows about a customer that are here as more than a hash."""
    with reading(own.engine) as session:
        rows = session.execute(select(STATE.c.key, STATE.c.value)).all()
    return {
        key.partition("/")[0] for key, value in rows if not hashed.from_bytes(value) and customer_id.encode() in value
    }


def assert_forgotten(own: MemberNode) -> None:
    assert known_of(own, ANN) == set()
    assert known_of(own, BOB) == {"customer", "code", "purchase"}
    report = own.verify()
    assert report.ok, report.findings


def test_a_copy_that_was_there_erases_what_it_holds_of_the_person(books: Books, database_url: str):
    _, bob = live(books)
    with operator(books) as url, network(database_url, url) as own:
        own.round()
        assert known_of(own, ANN) == {"customer", "code", "purchase"}
        named = at_tills(books, erase(books))
        books.accept(bob.record(intervals=6, pv_wh=400), code("b2", BOB), purchase("b2"))
        own.round()

        assert erased(own) == named
        with reading(own.engine) as session:
            assert not named & set(session.scalars(select(ROWS_READ.c.index)))
        assert own.node.status().disagreements == 0, own.node.memory.standing()
        assert_forgotten(own)
        assert own.offer(books.queries.checkpoint()).status_code == 200


def test_a_copy_that_comes_later_takes_what_is_erased_as_committed(books: Books, database_url: str):
    _, bob = live(books)
    named = at_tills(books, erase(books))
    books.accept(bob.record(intervals=6, pv_wh=400), code("b2", BOB), purchase("b2"))
    with operator(books) as url, network(database_url, url) as own:
        own.round()

        assert own.node.status().disagreements == 0, own.node.memory.standing()
        assert erased(own) == named
        assert_forgotten(own)


def test_a_copy_that_was_cut_off_erases_before_it_serves_again(books: Books, database_url: str):
    live(books)
    with operator(books) as url:
        with network(database_url, url) as own:
            named = at_tills(books, erase(books))
            own.round()
            with transaction(own.engine) as session:  # as if it had stopped before the last of it
                session.execute(update(ERASURES).values(erased_s=None))
                index = min(named)
                session.execute(update(PAYLOADS).where(PAYLOADS.c.index == index).values(request=b"\x83aa\x41a\x41a"))
        with network(database_url, url) as own:
            assert erased(own) == named


def test_its_receipt_says_whom_it_has_forgotten_by_hash_even_of_whom_it_holds_nothing(books: Books, tmp_path: Path):
    desk = Desk(public_key=signatures.public_key_of(NETWORK_SEED))
    live(books)
    stranger = Home("unit-3", "customer-3")
    books.accept(*stranger.joining())
    erase(books)
    erase(books, "customer-3")
    with operator(books, desk.router()) as url, network(f"sqlite:///{tmp_path / 'own.db'}", url, tells=True) as own:
        own.round()

    hashes = [hashlib.sha256(who.encode()).digest() for who in (ANN, "customer-3")]
    assert [receipt.customer_hash for receipt in desk.taken] == hashes
    assert {receipt.who for receipt in desk.taken} == {NETWORK.member_id}


@pytest.mark.parametrize("lie", ["another's", "nobody's", "none that was given", "left out"])
def test_an_erasure_of_what_is_not_about_that_person_is_refused(books: Books, sqlite_url: str, lie: str):
    live(books)
    purchases = {entry.index for entry in books.queries.recorded(0, books.queries.size()) if entry.kind == "authorize"}
    named = erase(books)
    shop = next(entry.index for entry in books.queries.recorded(0, 20) if entry.kind == "admit_retailer")
    told = {"another's": min(purchases - set(named)), "nobody's": shop, "none that was given": 1}

    def change(path: str, body: bytes) -> bytes:
        if path != deliveries.PATH.removeprefix("/"):
            return body
        page = deliveries.from_bytes(body)
        notices = (
            {}
            if lie == "left out"
            else {index: Notice(notice.customer_hash, (told[lie],)) for index, notice in page.notices.items()}
        )
        return deliveries.to_bytes(replace(page, notices=notices))

    with (
        operator(books) as url,
        serving_routers(Proxy(url, change).router()) as between,
        network(sqlite_url, between) as own,
    ):
        own.round()

        (found,) = own.node.memory.standing()
        assert found.difference.index == books.queries.size() - 1
        assert erased(own) <= set(named)
