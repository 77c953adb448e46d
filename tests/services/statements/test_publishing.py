"""Whatever fails between two steps of publishing, or failed but happened: asked again, it is one statement."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import select
from sqlmodel import SQLModel

from contracts.closing import CloseBooks, PublishStatement
from contracts.commands import Request
from services.database import DatabaseUnavailable, reading, transaction
from services.encoding import bytes_of
from services.keys import Use
from services.ledger.client import LedgerUnavailable, Outcome
from services.ledger.local import LocalLedger
from services.ledger.verify import verify as verify_ledger
from services.problems import Problem
from services.statements import shelf
from services.statements.daily import Daily
from services.statements.metrics import StatementMetrics
from services.statements.publishing import Publishing
from services.statements.tables import StatementShareRow, StatementTileRow, StatementTreeRow
from services.statements.trees import Tile, Tree
from services.statements.verification import verify
from tests.services.customers.platform import Platform, Who
from tests.services.statements.builders import (
    MONDAY,
    TUESDAY,
    a_publishing,
    fresh,
    go_on,
    number_of,
    proof_of,
    published,
)

DAY = number_of(MONDAY)


class Breaking:
    """The platform's ledger, whose connection breaks once: before or after it did what a command asks."""

    def __init__(self, ledger: LocalLedger, kind: str, moment: str) -> None:
        self._ledger = ledger
        self._kind = kind
        self._moment = moment
        self._is_whole = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    def submit(self, requests: Sequence[Request]) -> list[Outcome]:
        breaks = not self._is_whole and self._kind == requests[0].command.KIND
        self._is_whole = self._is_whole or breaks
        if breaks and self._moment == "before":
            raise LedgerUnavailable("the connection broke")
        answers = self._ledger.submit(requests)
        if breaks:
            raise LedgerUnavailable("the connection broke")
        return answers


def a_town(platform: Platform) -> tuple[Who, Who]:
    ann, bob = platform.customer(), platform.customer()
    platform.earn(ann, 400)
    platform.earn(bob, 200)
    return ann, bob


def assert_one_statement(platform: Platform, ann: Who, bob: Who) -> None:
    """Both are counted in one statement, and the ledger agrees with itself."""
    fresh(platform, ann, bob)
    assert verify(proof_of(ann)).micro_sparks == 400_000_000
    assert verify(proof_of(bob)).micro_sparks == 200_000_000
    size = platform.ledger.head().size
    entries = [platform.ledger.entry(index) for index in range(size)]
    kinds = [entry.kind for entry in entries if entry]
    assert (kinds.count(CloseBooks.KIND), kinds.count(PublishStatement.KIND)) == (1, 1)
    assert shelf.find(platform.engine, DAY) == (b"", 8)
    assert verify_ledger(platform.engine, platform.keys.public_key(Use.LOG), lambda _done, _all: None).ok


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("kind", [CloseBooks.KIND, PublishStatement.KIND])
def test_a_ledger_that_cannot_be_reached_is_asked_again(platform, kind, moment):
    ann, bob = a_town(platform)
    go_on(platform)
    broken = Breaking(platform.ledger, kind, moment)

    with pytest.raises(LedgerUnavailable):
        a_publishing(platform, broken).publish(DAY)
    platform.earn(platform.customer(), 200)

    a_publishing(platform).publish(DAY)
    assert_one_statement(platform, ann, bob)


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("step", ["begin", "fill", "seal", "throw_away"])
def test_a_database_that_fails_at_any_step_is_asked_again(sqlite_platform, step, moment, monkeypatch):
    ann, bob = a_town(sqlite_platform)
    go_on(sqlite_platform)
    whole: Callable[..., Any] = getattr(shelf, step)

    def broken(*given: Any, **named: Any) -> Any:
        if moment == "after":
            whole(*given, **named)
        raise DatabaseUnavailable("the disk is full")

    monkeypatch.setattr(shelf, step, broken)
    with pytest.raises(DatabaseUnavailable):
        a_publishing(sqlite_platform).publish(DAY)
    monkeypatch.undo()
    sqlite_platform.earn(sqlite_platform.customer(), 200)

    a_publishing(sqlite_platform).publish(DAY)
    assert_one_statement(sqlite_platform, ann, bob)


def test_a_tree_that_was_kept_in_part_is_filled_up(platform, monkeypatch):
    ann, bob = a_town(platform)
    go_on(platform)

    def broken(self: Tree) -> Iterator[Tile]:
        yield from ()
        raise DatabaseUnavailable("the disk is full")

    monkeypatch.setattr(Tree, "tiles", broken)
    with pytest.raises(DatabaseUnavailable):
        a_publishing(platform).publish(DAY)
    assert shelf.leaves_of(platform.engine, DAY, f"customer/{ann.id}") is not None
    monkeypatch.undo()

    a_publishing(platform).publish(DAY)
    assert_one_statement(platform, ann, bob)


def test_the_day_after_what_was_closed_is_still_published(sqlite_platform):
    ann, bob = a_town(sqlite_platform)
    go_on(sqlite_platform)
    broken = Breaking(sqlite_platform.ledger, CloseBooks.KIND, "after")
    with pytest.raises(LedgerUnavailable):
        a_publishing(sqlite_platform, broken).publish(DAY)
    go_on(sqlite_platform, TUESDAY)

    a_publishing(sqlite_platform).publish(DAY)

    assert_one_statement(sqlite_platform, ann, bob)


def test_a_day_that_was_missed_is_refused_and_leaves_nothing(sqlite_platform):
    go_on(sqlite_platform, TUESDAY)

    with pytest.raises(Problem) as refused:
        a_publishing(sqlite_platform).publish(DAY)

    assert refused.value.code == "invalid_day"
    assert shelf.find(sqlite_platform.engine, DAY) is None


def test_two_who_publish_at_once_come_to_one_statement(platform):
    ann, bob = a_town(platform)
    go_on(platform)
    first, second = a_publishing(platform), a_publishing(platform)
    closed = first._close(DAY)

    assert first._publish(DAY, closed) == second._publish(DAY, closed)

    second.publish(DAY)
    assert_one_statement(platform, ann, bob)


def test_a_tree_over_anything_else_than_the_books_is_refused(sqlite_platform, monkeypatch):
    ann, _ = a_town(sqlite_platform)
    go_on(sqlite_platform)
    whole = Publishing._owed_at

    def without_ann(self: Publishing, index: int):
        return {account: owed for account, owed in whole(self, index).items() if account != f"customer/{ann.id}"}

    monkeypatch.setattr(Publishing, "_owed_at", without_ann)

    with pytest.raises(Problem) as refused:
        a_publishing(sqlite_platform).publish(DAY)

    assert refused.value.code == "total_differs"
    assert refused.value.extras == {"micro_sparks": 600_000_000, "deferred_micro_sparks": 0}


def test_one_who_is_late_brings_nothing_back_that_was_forgotten(platform, monkeypatch):
    """Two programs publish; one is so slow that the other has sealed the tree, and somebody has left since."""
    ann, bob = a_town(platform)
    go_on(platform)
    fresh(platform, ann, bob)
    whole = shelf.fill

    def late(*given: Any) -> None:
        monkeypatch.setattr(shelf, "fill", whole)
        a_publishing(platform).publish(DAY)
        assert ann.delete("/v1/me").json()["state"] == "erased"
        whole(*given)

    monkeypatch.setattr(shelf, "fill", late)
    a_publishing(platform).publish(DAY)

    assert rows_about(platform, ann) == 0
    assert verify(proof_of(bob)).micro_sparks == 200_000_000


# Whoever leaves


def rows_about(platform: Platform, who: Who) -> int:
    query = select(StatementShareRow).where(StatementShareRow.account == f"customer/{who.id}")  # type: ignore[arg-type]
    with reading(platform.engine) as session:
        return len(session.execute(query).all())


def test_who_leaves_takes_their_leaves_along_and_the_others_still_verify(platform):
    ann, bob = a_town(platform)
    told = published(platform)
    fresh(platform, ann, bob)
    kept = proof_of(ann)
    assert rows_about(platform, ann) == 1

    assert ann.delete("/v1/me").json()["state"] == "erased"

    assert rows_about(platform, ann) == 0
    assert verify(proof_of(bob)).micro_sparks == 200_000_000
    assert verify(kept).micro_sparks == 400_000_000
    assert verify(platform.call("GET", f"/v1/statements/{MONDAY}").json()).index == told["index"]
    assert verify_ledger(platform.engine, platform.keys.public_key(Use.LOG), lambda _done, _all: None).ok
    assert not any(salt in kept_bytes(platform) for salt in salts_of(kept))
    assert any(key in kept_bytes(platform) for key in keys_of(platform, bob))


def kept_bytes(platform: Platform) -> bytes:
    """Everything that is kept of the trees."""
    found = b""
    with reading(platform.engine) as session:
        for table in (StatementTreeRow, StatementTileRow, StatementShareRow):
            for row in session.execute(select(SQLModel.metadata.tables[str(table.__tablename__)])):
                found += b"".join(value for value in row if isinstance(value, bytes))
    return found


def salts_of(proof: dict[str, Any]) -> list[bytes]:
    return [bytes_of(leaf["salt"]) or b"" for leaf in proof["leaves"]]


def keys_of(platform: Platform, who: Who) -> list[bytes]:
    leaves = shelf.leaves_of(platform.engine, DAY, f"customer/{who.id}")
    return [leaves.key] if leaves else []


@pytest.mark.parametrize("moment", ["before_the_tree_is_filled", "before_it_is_published"])
def test_who_leaves_while_a_statement_is_made_is_counted_and_not_kept(platform, moment, monkeypatch):
    ann, bob = a_town(platform)
    go_on(platform)
    fresh(platform, ann, bob)
    step = "fill" if moment == "before_the_tree_is_filled" else "tiles_of"
    whole: Callable[..., Any] = getattr(shelf, step)

    def meanwhile(*given: Any) -> Any:
        monkeypatch.setattr(shelf, step, whole)
        assert ann.delete("/v1/me").json()["state"] == "erased"
        return whole(*given)

    monkeypatch.setattr(shelf, step, meanwhile)
    statement = a_publishing(platform).publish(DAY)

    assert statement.outstanding_micro_sparks == 600_000_000
    assert rows_about(platform, ann) == 0
    assert verify(proof_of(bob)).micro_sparks == 200_000_000


def test_who_left_before_the_books_were_closed_is_not_counted(sqlite_platform):
    ann, bob = a_town(sqlite_platform)
    ann.delete("/v1/me")

    told = published(sqlite_platform)
    fresh(sqlite_platform, bob)

    assert told["outstanding_micro_sparks"] == 200_000_000
    assert told["settled_micro_sparks"] == 400_000_000
    assert (rows_about(sqlite_platform, ann), verify(proof_of(bob)).micro_sparks) == (0, 200_000_000)


def test_forgetting_can_be_done_again(sqlite_platform):
    ann, _ = a_town(sqlite_platform)
    published(sqlite_platform)

    for _ in range(2):
        with transaction(sqlite_platform.engine) as session:
            shelf.forget(session, f"customer/{ann.id}")

    assert rows_about(sqlite_platform, ann) == 0


# By the clock


def test_proofs_are_kept_for_some_days_and_statements_for_ever(platform):
    ann, _ = a_town(platform)
    first = published(platform)
    go_on(platform, TUESDAY)

    a_publishing(platform, kept_days=0).publish(DAY + 1)
    fresh(platform, ann)

    gone = ann.get(f"/v1/me/statements/{MONDAY}/proof")
    assert (gone.status_code, gone.json()["code"]) == (404, "not_found")
    assert platform.call("GET", f"/v1/statements/{MONDAY}").json()["index"] == first["index"]
    assert verify(proof_of(ann, TUESDAY)).micro_sparks == 400_000_000


def test_each_day_is_published_once_it_is_over_and_never_one_before_the_ledger_began(sqlite_platform):
    ann, bob = a_town(sqlite_platform)
    daily = Daily(a_publishing(sqlite_platform))
    size = sqlite_platform.ledger.head().size
    daily.look()
    assert sqlite_platform.ledger.head().size == size

    go_on(sqlite_platform)
    daily.look()
    size = sqlite_platform.ledger.head().size
    daily.look()
    Daily(a_publishing(sqlite_platform)).look()

    assert sqlite_platform.ledger.head().size == size
    assert_one_statement(sqlite_platform, ann, bob)


def test_what_was_cut_off_before_it_was_sealed_is_finished_by_the_next_look(sqlite_platform, monkeypatch):
    ann, bob = a_town(sqlite_platform)
    go_on(sqlite_platform)
    with monkeypatch.context() as patched, pytest.raises(DatabaseUnavailable):
        patched.setattr(shelf, "seal", _unavailable)
        Daily(a_publishing(sqlite_platform)).look()

    Daily(a_publishing(sqlite_platform)).look()

    assert_one_statement(sqlite_platform, ann, bob)


def test_the_thread_publishes_and_ends(sqlite_platform):
    ann, bob = a_town(sqlite_platform)
    go_on(sqlite_platform)
    daily = Daily(a_publishing(sqlite_platform))

    daily.start()
    daily.stop()

    assert_one_statement(sqlite_platform, ann, bob)


def test_a_day_without_a_statement_is_told_to_who_watches(sqlite_platform):
    registry = CollectorRegistry()
    registry.register(StatementMetrics(a_publishing(sqlite_platform)))
    name = "sparks_statement_days_behind"

    def behind() -> float | None:
        return registry.get_sample_value(name)

    assert behind() == 0
    go_on(sqlite_platform, TUESDAY)
    assert behind() == 2
    a_publishing(sqlite_platform).publish(DAY + 1)
    assert behind() == 0
    go_on(sqlite_platform, "2026-07-08")
    assert behind() == 1


def _unavailable(*_: object) -> None:
    raise DatabaseUnavailable("the disk is full")
