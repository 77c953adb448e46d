"""Rows are kept as they were where an old award may ask for them, and a pack costs nothing on an ordinary day."""

from sqlalchemy import select

from contracts import state
from contracts.commands import ChooseLevel, CorrectUnit
from contracts.units import DAY_S
from services.ledger.tables import ROW_VERSIONS
from tests.services.ledger.builders import Books, Home, fund, request


def _kept(books: Books, key: str) -> list[int]:
    with books.engine.connect() as connection:
        query = select(ROW_VERSIONS.c.version).where(ROW_VERSIONS.c.key == key).order_by(ROW_VERSIONS.c.version)
        return [version for (version,) in connection.execute(query)]


def test_every_version_of_a_unit_and_a_customer_is_kept(books: Books):
    home = Home()
    joined = books.accept(*home.joining())
    (corrected,) = books.accept(request(CorrectUnit("unit-1", 7_000, 13_500, 5_000, "toronto")))
    (chosen,) = books.accept(request(ChooseLevel("customer-1", "partner")))

    assert _kept(books, state.unit_key("unit-1")) == [joined[0].index, joined[2].index, corrected.index]
    assert _kept(books, state.customer_key("customer-1")) == [joined[1].index, chosen.index]


def test_a_meter_is_kept_when_its_day_changes_and_not_with_every_pack(books: Books):
    home = Home()
    books.accept(*home.joining(), fund(), *(home.record() for _ in range(5)))
    books.clock.advance_to(books.clock.now_s() + DAY_S)
    home.next_s += DAY_S
    next_day, _ = books.accept(home.record(), home.record())

    assert _kept(books, state.meter_key("unit-1")) == [next_day.index]
