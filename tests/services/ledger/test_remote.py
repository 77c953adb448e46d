"""The ledger over HTTP does what a ledger must, and takes what is asked at once in few calls."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import closing
from typing import TypeVar

import pytest

from contracts import commands
from contracts.commands import EnrollCustomer
from services.ledger import wireform
from services.ledger.client import Accepted, Outcome
from services.ledger.remote import RemoteLedger
from tests.services.ledger import builders
from tests.services.ledger.builders import Books
from tests.services.ledger.http_ledger import TOKEN, application, served
from tests.services.ledger.ledger_suite import LedgerSuite

T = TypeVar("T")


@pytest.fixture
def url(books: Books) -> Iterator[str]:
    with served(application(books.ledger, books.queries)) as url:
        yield url


@pytest.fixture
def ledger(url: str) -> Iterator[RemoteLedger]:
    with closing(RemoteLedger(url, token=TOKEN)) as remote:
        yield remote


class TestRemoteLedger(LedgerSuite):
    """The promises of `services.ledger.client`, over HTTP."""


def enrolling(*names: str) -> list[commands.Request]:
    return [builders.request(EnrollCustomer(name, "saver")) for name in names]


async def gathered(url: str, asking: Callable[[RemoteLedger], Iterable[Awaitable[T]]]) -> list[T]:
    """Everything asked at once, in one event loop."""
    remote = RemoteLedger(url, token=TOKEN)
    try:
        return list(await asyncio.gather(*asking(remote)))
    finally:
        await remote.aclose()
        remote.close()


def indexes_of(outcomes: Iterable[Outcome]) -> list[int]:
    return [outcome.index for outcome in outcomes if isinstance(outcome, Accepted)]


def test_thousands_asked_at_once_are_each_answered(url: str) -> None:
    asked = enrolling(*(f"crowd-{number}" for number in range(2_000)))

    outcomes = asyncio.run(gathered(url, lambda remote: map(remote.ask, asked)))

    assert sorted(indexes_of(outcomes)) == list(range(1, 2_001))
    assert [outcome.result["customer"] for outcome in outcomes if isinstance(outcome, Accepted)] == [
        f"crowd-{number}" for number in range(2_000)
    ]


def test_more_than_one_call_can_carry_is_divided_and_answered_in_order(ledger: RemoteLedger) -> None:
    asked = enrolling(*(f"queue-{number}" for number in range(wireform.REQUESTS_MAX + 1)))

    assert indexes_of(ledger.submit(asked)) == list(range(1, len(asked) + 1))


def test_reads_of_several_tasks_come_back_to_their_own(books: Books, url: str) -> None:
    books.accept(*enrolling("reader-1", "reader-2"))
    wanted = [["customer/reader-1", "customer/nobody"], [], ["customer/reader-2"]]

    found = asyncio.run(gathered(url, lambda remote: map(remote.read, wanted)))

    names = [[getattr(row, "customer_id", None) for row in rows] for rows in found]
    assert names == [["reader-1", None], [], ["reader-2"]]
