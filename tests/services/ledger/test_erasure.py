"""A customer's entries are erased once the ledger names them; the log still verifies, and no more than that is lost."""

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select, update

from contracts import accounts, state
from contracts.checkout import Capture, Refund
from contracts.commands import ClaimUnit, CloseAccount, EnrollCustomer, EraseCustomer, IssueClaimCode, LeaveUnit
from contracts.effects import Reason
from contracts.wire import signatures
from services.database import DatabaseUnavailable, reading, transaction
from services.ledger import erasing
from services.ledger.client import Accepted, Declined
from services.ledger.tables import ERASURES, PAYLOADS, REQUESTS, ROW_VERSIONS, STATE, SUBJECTS
from services.ledger.verify import Report, verify
from tests.services.ledger.builders import (
    IDENTITY,
    Books,
    Home,
    code,
    fund,
    purchase,
    request,
    running,
    shop,
    verified,
)

ANN, BOB = "customer-1", "customer-2"


@pytest.fixture
def sound(sqlite_url: str) -> Iterator[Books]:
    """A ledger whose tables are spoilt behind its back: what one engine finds the other finds."""
    with running(sqlite_url) as books:
        yield books


def checked(books: Books) -> Report:
    return verify(books.engine, signatures.public_key_of(IDENTITY.seed), lambda _done, _size: None)


def a_neighbourhood(books: Books) -> tuple[Home, Home]:
    """Ann and Bob hold a unit each, earn (some of it deferred), and buy at the same shop."""
    ann, bob = Home(), Home("unit-2", BOB)
    books.accept(*ann.joining(), *bob.joining(), verified(ANN), verified(BOB), shop(), fund(1))
    for _ in range(3):
        books.accept(ann.record(intervals=6, pv_wh=400), bob.record(intervals=6, pv_wh=400))
    books.accept(fund(1_000))
    books.accept(ann.record(load_wh=9_999))  # refused
    for name, holder in (("a1", ANN), ("b1", BOB), ("a2", ANN), ("b2", BOB)):
        books.accept(code(name, holder), purchase(name, capture=name != "a2"))
    books.accept(request(Capture("SHOP", "a2", 1)), request(Refund("SHOP", "b1", 1)))
    return ann, bob


def close(books: Books, customer_id: str = ANN) -> Accepted:
    (closed,) = books.accept(request(CloseAccount(customer_id, None)))
    return closed


def erase(books: Books, customer_id: str = ANN) -> tuple[int, tuple[int, ...]]:
    """Close and erase; the entry that asks for it, and the entries it names."""
    close(books, customer_id)
    named = books.queries.erasable(customer_id)
    (asked,) = books.accept(request(EraseCustomer(customer_id, named.indexes, named.rows)))
    return asked.index, named.indexes


def payloads(books: Books) -> dict[int, Any]:
    with reading(books.engine) as session:
        return {row.index_: row for row in session.execute(select(PAYLOADS.c.index.label("index_"), *PAYLOADS.c))}


def test_what_the_ledger_says_of_a_customer_is_gone_and_the_log_verifies(books: Books):
    a_neighbourhood(books)
    before = payloads(books)

    _, named = erase(books)

    after = payloads(books)
    assert named
    for index, row in after.items():
        parts = (row.request, row.request_salt, row.result)
        assert (parts == (b"", b"", b"")) == (index in named), index
        if index in before:
            assert (row.effects, row.effects_salt) == (before[index].effects, before[index].effects_salt)
    naming = {index for index, row in after.items() if ANN.encode() in row.request + row.result}
    kinds = {row.request[1:30] for row in after.values() if row.index_ in naming}
    # A release mints for many at once, and says of each what the postings say; the erasure itself has to name them.
    assert all(b"release_deferred" in kind or b"erase_customer" in kind for kind in kinds)
    report = checked(books)
    assert report.ok, report.findings
    assert report.taken == len(named)


def test_others_go_on_and_every_entry_of_theirs_is_executed_again(books: Books):
    _, bob = a_neighbourhood(books)

    _, named = erase(books)
    books.accept(bob.record(), code("b3", BOB), purchase("b3"), request(Refund("SHOP", "b2", 1)))

    report = checked(books)
    assert report.ok, report.findings
    assert report.taken == len(named)


def test_who_takes_over_a_unit_goes_on_where_it_stood(books: Books):
    ann, bob = a_neighbourhood(books)
    claim = hashlib.sha256(b"next").digest()
    books.accept(request(LeaveUnit(ANN, "unit-1")), ann.record(), request(IssueClaimCode("unit-1", claim)))
    books.accept(request(ClaimUnit(BOB, claim)), ann.record(), bob.record())

    _, named = erase(books)
    taken = checked(books).taken
    books.accept(ann.record(), bob.record(), code("b3", BOB), purchase("b3"))

    report = checked(books)
    assert report.ok, report.findings
    assert report.taken == taken > len(named)  # those that read the unit's meter before the erasure carried it


def test_both_may_be_erased_one_after_the_other(books: Books):
    ann, _ = a_neighbourhood(books)
    claim = hashlib.sha256(b"next").digest()
    books.accept(request(IssueClaimCode("unit-1", claim)), request(ClaimUnit(BOB, claim)), ann.record())

    _, first = erase(books, BOB)
    _, second = erase(books, ANN)
    books.accept(ann.record())

    assert not set(first) & set(second)
    report = checked(books)
    assert report.ok, report.findings


def test_an_erased_customer_s_requests_do_not_happen_again(books: Books):
    home = Home()
    joining = home.joining()
    books.accept(*joining, verified(), shop(), fund())
    record = home.record(intervals=6, pv_wh=400)
    books.accept(record, code("a1"), purchase("a1"))
    erase(books)

    answers = books.ledger.submit([joining[1], record, code("a1"), purchase("a1"), request(Refund("SHOP", "a1", 1))])

    assert [answer.reason for answer in answers if isinstance(answer, Declined)] == [
        Reason.CUSTOMER_EXISTS,
        Reason.DUPLICATE,
        Reason.CUSTOMER_CLOSED,
        Reason.AUTHORIZATION_EXISTS,
        Reason.CUSTOMER_CLOSED,
    ]


def test_what_is_erased_is_read_as_moved_by_somebody_unknown(books: Books):
    a_neighbourhood(books)
    _, named = erase(books)

    recorded = books.queries.entries_of([accounts.customer(ANN)])

    assert {entry.index for entry in recorded if not entry.result} <= set(named)
    assert all(entry.postings for entry in recorded)
    assert books.queries.packs("unit-1", from_s=0, to_s=4_000_000_000) == []
    assert books.queries.erasable(ANN).indexes == ()


def test_nothing_of_the_erased_is_kept_beside_the_payloads(books: Books):
    a_neighbourhood(books)
    _, named = erase(books)

    with reading(books.engine) as session:
        assert session.scalars(select(REQUESTS.c.index).where(REQUESTS.c.index.in_(named))).all() == []
        assert session.scalars(select(ROW_VERSIONS.c.version).where(ROW_VERSIONS.c.version.in_(named))).all() == []
        about = select(SUBJECTS.c.index).where(SUBJECTS.c.subject == state.customer_key(ANN))
        assert set(session.scalars(about)) & set(named) == set()


@pytest.mark.parametrize("happened", [False, True], ids=["it failed", "it failed but happened"])
def test_an_erasure_that_was_cut_off_is_finished_at_the_next_start(database_url, monkeypatch, happened):
    finish = erasing.finish

    def fails(engine, now_s):
        with monkeypatch.context() as undone:
            if happened:
                finish(engine, now_s)
            undone.setattr(erasing, "finish", finish)
            raise DatabaseUnavailable("cut off")

    with running(database_url) as books:
        a_neighbourhood(books)
        close(books)
        named = books.queries.erasable(ANN)
        asked = request(EraseCustomer(ANN, named.indexes, named.rows))
        monkeypatch.setattr(erasing, "finish", fails)
        with pytest.raises(Exception, match="cannot write now"):
            books.ledger.submit([asked])
        monkeypatch.setattr(erasing, "finish", finish)

    with running(database_url, clock=books.clock) as books:
        (answer,) = books.ledger.submit([asked])

        assert isinstance(answer, Accepted)
        report = checked(books)
        assert report.ok, report.findings
        assert report.taken == len(named.indexes)


def test_what_is_gone_without_an_entry_that_erases_it_is_found(sound: Books):
    a_neighbourhood(sound)
    close(sound)
    spared, *indexes = sound.queries.erasable(ANN).indexes
    sound.accept(request(EraseCustomer(ANN, tuple(indexes), sound.queries.erasable(ANN).rows)))
    assert checked(sound).ok
    gone = {"request": b"", "request_salt": b"", "result": b""}
    with transaction(sound.engine) as session:
        session.execute(update(PAYLOADS).where(PAYLOADS.c.index == spared).values(gone))

    found = checked(sound).findings

    assert (spared, "its request is gone, and no entry erases it") in {
        (finding.index, finding.what) for finding in found
    }


def test_what_an_entry_erases_is_found_where_it_is_still_there(sound: Books):
    a_neighbourhood(sound)
    written = payloads(sound)
    _, (index, *_) = erase(sound)
    before = written[index]
    whole = {"request": before.request, "request_salt": before.request_salt, "result": before.result}
    with transaction(sound.engine) as session:
        session.execute(update(PAYLOADS).where(PAYLOADS.c.index == index).values(whole))

    assert any("it is still there" in finding.what for finding in checked(sound).findings)


def test_what_an_erased_entry_did_cannot_be_changed(sound: Books):
    a_neighbourhood(sound)
    _, named = erase(sound)
    victim = named[len(named) // 2]
    with transaction(sound.engine) as session:
        effects = session.scalars(select(PAYLOADS.c.effects).where(PAYLOADS.c.index == victim)).one()
        forged = effects[:-1] + bytes([effects[-1] ^ 1])
        session.execute(update(PAYLOADS).where(PAYLOADS.c.index == victim).values(effects=forged))

    assert checked(sound).findings[0].index == victim

    with transaction(sound.engine) as session:
        session.execute(update(PAYLOADS).where(PAYLOADS.c.index == victim).values(effects=effects))
    assert checked(sound).ok


def test_a_row_that_only_an_erased_entry_wrote_cannot_be_changed(sound: Books):
    a_neighbourhood(sound)
    erase(sound)
    key = state.purchase_key("a1")
    with transaction(sound.engine) as session:
        value = session.scalars(select(STATE.c.value).where(STATE.c.key == key)).one()
        session.execute(update(STATE).where(STATE.c.key == key).values(value=value[:-1] + bytes([value[-1] ^ 1])))

    assert [(found.table, found.what) for found in checked(sound).findings] == [("state", f"{key} is another")]

    with transaction(sound.engine) as session:
        session.execute(update(STATE).where(STATE.c.key == key).values(value=value))


def test_an_erasure_the_table_does_not_know_and_one_it_alone_knows_are_found(sound: Books):
    a_neighbourhood(sound)
    index, _ = erase(sound)
    with transaction(sound.engine) as session:
        session.execute(update(ERASURES).values(index=index - 1))

    assert {(found.index, found.table) for found in checked(sound).findings} == {
        (index, "erasures"),
        (index - 1, "erasures"),
    }


def test_no_one_is_erased_who_is_still_there(sound: Books):
    sound.accept(request(EnrollCustomer(ANN, "saver")))

    answers = sound.ledger.submit([request(EraseCustomer(ANN, (), ()))])

    assert answers == [Declined(Reason.INVALID_STATE)]
