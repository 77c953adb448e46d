"""Evidence goes as far as what is still known, and costs a day of packs however old the entry is."""

from sqlalchemy import update

from contracts.units import DAY_S
from services.ledger.tables import PAYLOADS
from tests.services.ledger.builders import Books, Home, fund


def _forget(books: Books, index: int) -> None:
    with books.engine.begin() as connection:
        nothing = {"request": b"", "request_salt": b"", "result": b""}
        connection.execute(update(PAYLOADS).where(PAYLOADS.c.index == index).values(**nothing))


def test_an_entry_whose_request_is_erased_has_no_evidence(books: Books):
    home = Home()
    books.accept(*home.joining(), fund())
    (first,) = books.accept(home.record())
    (second,) = books.accept(home.record())
    (whole,) = books.accept(fund(cents=7))
    payload = _payload(books, first.index)
    _forget(books, first.index)

    gone, after, other = (books.queries.evidence(index) for index in (first.index, second.index, whole.index))

    assert gone is None
    assert after is not None
    assert after.inputs == ()
    assert other is not None
    with books.engine.begin() as connection:  # the books are looked over at the end
        connection.execute(update(PAYLOADS).where(PAYLOADS.c.index == first.index).values(**payload))


def _payload(books: Books, index: int) -> dict[str, bytes]:
    with books.engine.connect() as connection:
        row = connection.execute(PAYLOADS.select().where(PAYLOADS.c.index == index)).mappings().one()
    return {name: bytes(row[name]) for name in ("request", "request_salt", "result")}


def test_packs_before_the_unit_s_day_are_not_asked_for(books: Books):
    home = Home()
    *_, early = books.accept(*home.joining(), fund(), *(home.record() for _ in range(5)))
    books.clock.advance_to(books.clock.now_s() + DAY_S)
    home.next_s += DAY_S
    *_, third = books.accept(*(home.record() for _ in range(3)))
    payload = _payload(books, early.index)
    _forget(books, early.index)

    evidence = books.queries.evidence(third.index)

    assert evidence is not None
    written = {read.key: read.written_by.index for read in evidence.inputs}
    assert written["meter/unit-1"] == third.index - 1
    with books.engine.begin() as connection:
        connection.execute(update(PAYLOADS).where(PAYLOADS.c.index == early.index).values(**payload))
