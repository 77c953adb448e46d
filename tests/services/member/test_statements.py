"""Members execute a statement again, whichever part they see: a figure or a total that is another is refused."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import contracts.execute
from contracts import programmes
from contracts.closing import CloseBooks, PublishStatement
from contracts.effects import Effects
from contracts.execute import execute
from contracts.state import Statement
from contracts.wire import signatures
from services.ledger.verify import verify
from tests.services.ledger.builders import IDENTITY, Books, Home, fund, request, running
from tests.services.member import stage
from tests.services.member.stage import NETWORK, NETWORK_SEED, MemberNode, operator


def of_all(database_url: str, url: str) -> Any:
    return stage.member(database_url, url)


def of_some(database_url: str, url: str) -> Any:
    return stage.member(database_url, url, who=NETWORK.member_id, seed=NETWORK_SEED, is_given=True)


@pytest.fixture(params=[of_all, of_some], ids=["all", "given"])
def member(request: pytest.FixtureRequest) -> Callable[[str, str], Any]:
    """A member of all collections, and one of some, in turn."""
    found: Callable[[str, str], Any] = request.param
    return found


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    """The operator's ledger, on which a home has earned."""
    with running(f"sqlite:///{tmp_path / 'operator.db'}") as books:
        home = Home()
        books.accept(fund(), *home.joining(), home.record(intervals=6))
        yield books


@contextmanager
def lying(change: Callable[[Any, Effects], Effects]) -> Iterator[None]:
    """The operator's contracts do something else than what was agreed."""

    def changed(view: Any, command: Any) -> Any:
        done = execute(view, command)
        return change(command, done) if isinstance(done, Effects) else done

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(contracts.execute, "execute", changed)
        yield


def told(books: Books) -> tuple[int, int]:
    """The entries that close the books and publish the statement."""
    day = programmes.load().local_day(books.clock.now_s()) - 1
    (closed,) = books.accept(request(CloseBooks(day)))
    owed = closed.result["outstanding_micro_sparks"], closed.result["deferred_micro_sparks"]
    (published,) = books.accept(request(PublishStatement(day, b"r" * 32, 8, *owed)))
    return closed.index, published.index


def refused_at(own: MemberNode) -> int:
    own.round()
    (found,) = own.node.memory.standing()
    return found.difference.index


def with_more(command: Any, done: Effects, kind: str) -> Effects:
    """The effects with a reserve of one micro_cad more, if the command is of this kind."""
    if kind != command.KIND:
        return done
    (key,) = done.writes
    row = done.writes[key]
    assert isinstance(row, Statement)
    more = replace(row, reserve_micro_cad=row.reserve_micro_cad + 1)
    return Effects({key: more}, (), {**done.result, "reserve_micro_cad": more.reserve_micro_cad})


def test_a_statement_that_holds_is_executed_and_co_signed(books: Books, database_url: str, member):
    told(books)

    with operator(books) as url, member(database_url, url) as own:
        assert own.offer(books.queries.checkpoint()).status_code == 200
        assert own.verify().ok
        assert own.node.status().disagreements == 0


@pytest.mark.parametrize("kind", [CloseBooks.KIND, PublishStatement.KIND])
def test_one_figure_too_large_is_refused_and_named(books: Books, sqlite_url: str, member, kind: str):
    with lying(lambda command, done: with_more(command, done, kind)):
        closed, published = told(books)
    forged = closed if kind == CloseBooks.KIND else published

    with operator(books) as url, member(sqlite_url, url) as own:
        assert refused_at(own) == forged
    report = verify(books.engine, signatures.public_key_of(IDENTITY.seed), lambda _done, _all: None)
    assert report.findings[0].index == forged


def test_a_total_that_is_not_what_the_books_hold_is_refused(books: Books, sqlite_url: str, member):
    """The operator leaves somebody out of the tree, and publishes what is left."""
    day = programmes.load().local_day(books.clock.now_s()) - 1
    (closed,) = books.accept(request(CloseBooks(day)))
    less = closed.result["outstanding_micro_sparks"] - 1

    def lenient(view: Any, command: Any) -> Any:
        if isinstance(command, PublishStatement):
            command = replace(command, micro_sparks=less + 1)
        return execute(view, command)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(contracts.execute, "execute", lenient)
        (forged,) = books.accept(request(PublishStatement(day, b"r" * 32, 8, less, 0)))

    with operator(books) as url, member(sqlite_url, url) as own:
        assert refused_at(own) == forged.index
    report = verify(books.engine, signatures.public_key_of(IDENTITY.seed), lambda _done, _all: None)
    assert (report.findings[0].index, report.findings[0].what) == (
        forged.index,
        "the contract rejects it: total_differs",
    )
