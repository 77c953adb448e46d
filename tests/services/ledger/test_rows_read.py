"""What a purchase was executed on is kept with the entries that wrote it; what only all members see keeps nothing."""

from collections.abc import Mapping

import pytest
from sqlalchemy import delete, select

from contracts import state
from contracts.state import Account, CheckoutCode, Customer
from services.ledger import rows_read
from services.ledger.rows_read import RowRead
from services.ledger.tables import ROWS_READ
from services.ledger.verify import Report, verify
from tests.services.contract_sets.second import other_rule
from tests.services.ledger.builders import Books, Home, code, fund, purchase, shop, verified
from tests.services.ledger.http_ledger import LOG_KEY
from tests.services.ledger.test_activation import activation, admit_members

ACCOUNT = "account/spark/customer/customer-1"


def kept(books: Books) -> dict[int, Mapping[str, RowRead]]:
    with books.engine.connect() as connection:
        found = connection.execute(select(ROWS_READ)).all()
    return {index: rows_read.from_bytes(rows) for index, rows in found}


def check(books: Books) -> Report:
    return verify(books.engine, LOG_KEY.public_key, lambda _done, _size: None)


def earn(books: Books) -> Home:
    home = Home()
    books.accept(fund(), *home.joining(), verified("customer-1"), shop())
    books.accept(home.record(intervals=6, pv_wh=400))
    return home


def test_a_purchase_keeps_what_it_read_each_row_with_the_entry_that_wrote_it(books: Books):
    home = earn(books)
    issued, paid = books.accept(code("a", "customer-1"), purchase("a"))
    (again,) = books.accept(home.record(intervals=6, pv_wh=400))
    _, second = books.accept(code("b", "customer-1"), purchase("b"))

    found = kept(books)
    assert set(found) >= {issued.index, paid.index, second.index}
    first, after = found[paid.index], found[second.index]
    (key,) = [key for key in first if key.startswith("code/")]
    assert first[key].version == issued.index
    assert isinstance(state.from_bytes(key, first[key].data or b""), CheckoutCode)
    assert first[state.purchase_key("a")] == RowRead(None, None)
    assert isinstance(
        state.from_bytes(state.customer_key("customer-1"), first["customer/customer-1"].data or b""), Customer
    )
    assert first[ACCOUNT].version == issued.index - 1
    assert after[ACCOUNT].version == again.index
    assert isinstance(state.from_bytes(ACCOUNT, after[ACCOUNT].data or b""), Account)
    assert check(books).ok


def test_what_only_members_of_all_collections_see_keeps_nothing(books: Books):
    home = earn(books)
    (pack,) = books.accept(home.record())

    assert pack.index not in kept(books)


def test_rows_that_an_earlier_program_did_not_keep_are_not_missed_and_later_ones_are(books: Books):
    earn(books)
    books.accept(code("a", "customer-1"), purchase("a"), code("b", "customer-1"), purchase("b"))
    first, _, paid, *_ = sorted(kept(books))
    with books.engine.begin() as connection:
        connection.execute(delete(ROWS_READ).where(ROWS_READ.c.index == first))
    assert check(books).ok
    with books.engine.begin() as connection:
        connection.execute(delete(ROWS_READ).where(ROWS_READ.c.index == paid))

    assert [(found.index, found.table) for found in check(books).findings] == [(paid, "rows_read")]


def test_rows_of_an_earlier_contract_set_are_told_as_they_lie_there(books: Books):
    earn(books)
    admit_members(books)
    books.accept(activation(books, other_rule()))
    books.accept(code("a", "customer-1"), purchase("a"))

    assert check(books).findings == ()


@pytest.mark.parametrize(
    "data", [b"", b"\x00", b"\x81\x83aa\x01\xf6", b"\x82\x83ab\xf6\xf6\x83aa\xf6\xf6", b"\x81\x83aa\xf5\x40"]
)
def test_bytes_that_are_no_rows_are_refused(data: bytes):
    with pytest.raises(ValueError):
        rows_read.from_bytes(data)
