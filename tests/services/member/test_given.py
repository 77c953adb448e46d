"""A member of some collections executes what it may see on the rows given with it, on both engines."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import cbor2
import pytest
from sqlalchemy import select

from contracts.checkout import Capture
from contracts.wire import signatures
from services.database import reading
from services.ledger import deliveries, notes, rows_read
from services.ledger.deliveries import Payload
from services.ledger.notes import KeyType, OpenedNote, VerifierKey
from services.ledger.tables import PAYLOADS, STATE
from tests.services.ledger.builders import Books, Home, code, fund, purchase, request, running, shop, verified
from tests.services.ledger.http_ledger import LOG_KEY, serving_routers
from tests.services.member import stage
from tests.services.member.stage import (
    NETWORK_SEED,
    MemberNode,
    Proxy,
    mint_one_more,
    move_one_more,
    network,
    operator,
)

NAME_KEY = VerifierKey(
    "interac.example/given", KeyType.COSIGNATURE, signatures.public_key_of(stage.cosign_seed(NETWORK_SEED))
)
ANN = "customer-1"
ACCOUNT = f"account/spark/customer/{ANN}"
Change = Callable[[int, Payload], Payload]


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    """The operator's ledger: a home that earns and pays, and earns again."""
    with running(f"sqlite:///{tmp_path / 'operator.db'}", chance=bytes) as books:
        home = Home()
        books.accept(fund(), *home.joining(), verified(ANN), shop())
        for name in ("a", "b", "c"):
            books.accept(home.record(intervals=6, pv_wh=400), home.record(intervals=6, pv_wh=400))
            books.accept(code(name, ANN), purchase(name))
        yield books


@contextmanager
def given_otherwise(books: Books, change: Change) -> Iterator[str]:
    """The operator, whose payloads are changed on the way."""

    def changed(path: str, body: bytes) -> bytes:
        if path != deliveries.PATH.removeprefix("/"):
            return body
        page = deliveries.from_bytes(body)
        told = {index: change(index, payload) for index, payload in page.payloads.items()}
        return deliveries.to_bytes(replace(page, payloads=told))

    with operator(books) as url, serving_routers(Proxy(url, changed).router()) as between:
        yield between


def with_row(payload: Payload, key: str, row: rows_read.RowRead | None) -> Payload:
    """The payload with another row under `key` (None: with none at all)."""
    rows = {**rows_read.from_bytes(payload.read or b""), key: row}
    told = [[name, *found] for name, found in sorted(rows.items()) if found is not None]
    return payload._replace(read=cbor2.dumps(told))


def purchases(books: Books) -> list[int]:
    return [entry.index for entry in books.queries.recorded(0, books.queries.size()) if entry.kind == "authorize"]


def assert_verified(own: MemberNode, *, taken: int = 0) -> None:
    report = own.verify()
    assert report.ok, report.findings
    assert report.taken == taken
    assert report.size - report.outside == own.node.status().executed


def refused(own: MemberNode) -> tuple[int, str]:
    own.round()
    (found,) = own.node.memory.standing()
    assert found.difference.ours != found.difference.theirs
    return found.difference.index, found.difference.what


def test_it_executes_what_it_is_given_and_co_signs_under_a_name_that_says_so(books: Books, database_url: str):
    with operator(books) as url, network(database_url, url) as own:
        note = books.queries.checkpoint()
        signed = own.offer(note)

        assert signed.status_code == 200, signed.text
        assert isinstance(notes.open_note(note + signed.content, [LOG_KEY, NAME_KEY]), OpenedNote)
        status = own.node.status()
        assert (status.size, status.executed) == (
            books.queries.size(),
            8,
        )  # the first, the shop, three codes, purchases


def test_nothing_of_other_collections_is_kept_but_the_rows_that_purchases_read(books: Books, sqlite_url: str):
    with operator(books) as url, network(sqlite_url, url) as own:
        own.round()

        with reading(own.engine) as session:
            kinds = {key.partition("/")[0] for key in session.scalars(select(STATE.c.key))}
            payloads = len(session.scalars(select(PAYLOADS.c.index)).all())
    assert payloads == 8
    assert kinds == {
        *("ledger", "contracts", "active", "retailer", "business", "code", "purchase", "spending"),
        *("customer", "account"),
    }


def test_it_catches_up_and_what_it_signs_goes_on(books: Books, database_url: str):
    with operator(books) as url:
        with network(database_url, url) as own:
            assert own.offer(books.queries.checkpoint()).status_code == 200
        old = books.queries.size()
        books.accept(code("d", ANN), purchase("d", capture=False), request(Capture("SHOP", "d", 1)))
        with network(database_url, url) as own:
            proof = books.queries.consistency_proof(old, books.queries.size())
            assert own.offer(books.queries.checkpoint(), old=old, proof=proof).status_code == 200
            assert_verified(own)


def test_a_balance_that_it_knows_to_be_another_is_refused_and_stays_so(books: Books, database_url: str):
    _, _, third = purchases(books)

    def invent(index: int, payload: Payload) -> Payload:
        if index != third:
            return payload
        row = rows_read.from_bytes(payload.read or b"")["spending/customer-1"]
        return with_row(payload, "spending/customer-1", row._replace(data=cbor2.dumps([[]])))

    with given_otherwise(books, invent) as url:
        with network(database_url, url) as own:
            assert refused(own) == (third, "the row spending/customer-1")
        with network(database_url, url) as own:
            assert refused(own) == (third, "the row spending/customer-1")
            assert own.node.status().size == third
            assert own.offer(books.queries.checkpoint()).status_code == 422


@pytest.mark.parametrize(
    ("what", "key", "version_of"),
    [
        ("as it was before the last purchase", ACCOUNT, lambda first, second, third: first),
        ("as if an entry executed here had written it", ACCOUNT, lambda first, second, third: third - 1),
        ("as if it were written later", ACCOUNT, lambda first, second, third: third),
    ],
)
def test_a_row_with_another_version_is_refused(
    books: Books, sqlite_url: str, what: str, key: str, version_of: Callable[..., int]
):
    indexes = purchases(books)

    def change(index: int, payload: Payload) -> Payload:
        if index != indexes[2]:
            return payload
        row = rows_read.from_bytes(payload.read or b"")[key]
        return with_row(payload, key, row._replace(version=version_of(*indexes)))

    with given_otherwise(books, change) as url, network(sqlite_url, url) as own:
        assert refused(own) == (indexes[2], f"the row {key}"), what


def test_one_version_given_with_two_values_is_refused(books: Books, sqlite_url: str):
    """The customer's row was written by an entry outside: what it was the first time it is for ever."""
    _, second, _ = purchases(books)

    def change(index: int, payload: Payload) -> Payload:
        key = f"customer/{ANN}"
        if index != second:
            return payload
        row = rows_read.from_bytes(payload.read or b"")[key]
        fields = cbor2.loads(row.data or b"")
        return with_row(payload, key, row._replace(data=cbor2.dumps([*fields[:4], True, *fields[5:]])))

    with given_otherwise(books, change) as url, network(sqlite_url, url) as own:
        assert refused(own) == (second, f"the row customer/{ANN}")


@pytest.mark.parametrize("key", [ACCOUNT, f"spending/{ANN}", f"customer/{ANN}"])
def test_a_row_that_was_there_is_not_said_to_be_gone(books: Books, sqlite_url: str, key: str):
    """A day's spending that is gone would leave room under its limit, and an older one could be given next."""
    *_, third = purchases(books)

    def change(index: int, payload: Payload) -> Payload:
        return with_row(payload, key, rows_read.RowRead(None, None)) if index == third else payload

    with given_otherwise(books, change) as url, network(sqlite_url, url) as own:
        assert refused(own) == (third, f"the row {key}")


def test_a_value_that_no_earlier_one_contradicts_must_still_make_the_committed_effects(books: Books, sqlite_url: str):
    first, *_ = purchases(books)

    def change(index: int, payload: Payload) -> Payload:
        if index != first:
            return payload
        row = rows_read.from_bytes(payload.read or b"")[ACCOUNT]
        return with_row(payload, ACCOUNT, row._replace(data=cbor2.dumps([10**12])))

    with given_otherwise(books, change) as url, network(sqlite_url, url) as own:
        assert refused(own) == (first, "rows")


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda payload: payload._replace(read=None), "the rows that were read"),
        (lambda payload: payload._replace(read=b"\x01"), "the rows that were read"),
        (lambda payload: with_row(payload, ACCOUNT, None), f"the row {ACCOUNT}"),
        (lambda payload: with_row(payload, ACCOUNT, rows_read.RowRead(None, None)), f"the row {ACCOUNT}"),
        (lambda payload: with_row(payload, "queue/", rows_read.RowRead(None, None)), "the rows queue/"),
        (lambda payload: payload._replace(result=payload.result + b"\x00"), "result"),
        (
            lambda payload: payload._replace(request_salt=bytes(range(16))),
            "the request is not what the entry commits to",
        ),
        (lambda payload: payload._replace(effects=b"\x83\x80\x80\x40"), "the effects is not what the entry commits to"),
    ],
    ids=["no rows", "no CBOR", "a row less", "a row gone", "a row too many", "result", "request", "effects"],
)
def test_what_does_not_belong_to_the_entry_is_refused(
    books: Books, sqlite_url: str, change: Callable[[Payload], Payload], what: str
):
    *_, third = purchases(books)

    with (
        given_otherwise(books, lambda index, payload: change(payload) if index == third else payload) as url,
        network(sqlite_url, url) as own,
    ):
        found = refused(own)
        assert found[0] == third
        assert found[1].startswith(what)


def test_what_is_said_to_be_erased_is_taken_as_committed(books: Books, sqlite_url: str):
    """Whether an entry erases it, a copy that comes later cannot tell until it has that entry."""
    *_, third = purchases(books)

    def change(index: int, payload: Payload) -> Payload:
        is_third = index == third
        return Payload(None, None, payload.effects, payload.effects_salt, None) if is_third else payload

    with given_otherwise(books, change) as url, network(sqlite_url, url) as own:
        own.round()

        assert own.node.status().disagreements == 0
        assert own.node.status().size == books.queries.size()


def test_a_purchase_that_moves_one_micro_spark_too_much_is_refused_and_named(books: Books, database_url: str):
    books.writer.stop()
    forged = move_one_more(books.engine, "customer|retailer")
    with operator(books) as url, network(database_url, url) as own:
        assert own.offer(books.queries.checkpoint()).status_code == 422
        (found,) = own.node.memory.standing()
        assert found.difference.index == forged == min(purchases(books))
        assert abs(int(found.difference.theirs.split()[-1]) - int(found.difference.ours.split()[-1])) == 1
        assert own.node.status().size == forged


def test_a_mint_that_is_wrong_is_for_members_of_all_collections_to_find(books: Books, sqlite_url: str):
    books.writer.stop()
    forged = mint_one_more(books.engine)
    with operator(books) as url, network(sqlite_url, url) as own:
        own.round()

        assert own.node.status().disagreements == 0
        assert forged < own.node.status().size
