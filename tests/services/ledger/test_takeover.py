"""A writer dies or sleeps at any moment of a batch, and another goes on: one history, nothing answered is lost."""

import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import chain, islice
from pathlib import Path

import pytest

from benchmarks import servers
from contracts.commands import Request
from contracts.wire import signatures
from services import database
from services.ledger import connection, lease, verify
from services.ledger.client import Accepted, Ledger, LedgerUnavailable
from services.ledger.remote import RemoteLedger
from services.ledger.role import Role
from tests.services.ledger import contender, history
from tests.services.ledger.builders import IDENTITY, Books, accept, fund, running
from tests.services.ledger.http_ledger import TOKEN, application, served
from tests.services.ledger.takeover import epochs, wait_until

ROOT = Path(__file__).parents[3]
BATCHES = 6
MOMENTS = ["before_commit", "in_commit", "after_commit"]


@contextmanager
def contending(url: str, *, fate: str = "") -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process that serves the ledger until it meets its fate, and its base URL."""
    port = servers.free_port()
    command = [sys.executable, "-m", "tests.services.ledger.contender", url, str(port), *([fate] if fate else [])]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            wait_for_line(process, "serves")
            yield process, f"http://127.0.0.1:{port}"
        finally:
            process.kill()


def wait_for_line(process: "subprocess.Popen[str]", said: str) -> None:
    """Return once the process has printed a line with these words."""
    assert process.stdout is not None
    assert any(said in line for line in process.stdout), f"it ended without saying {said}"


@contextmanager
def standing_by(url: str) -> Iterator[tuple[Books, str]]:
    """A standby in this process, and its base URL."""
    with (
        running(url, holder="standby", may_stand_by=True) as books,
        served(application(books.ledger, books.queries)) as base_url,
    ):
        yield books, base_url


def ask_until_answered(ledger: Ledger, asked: Sequence[Request]) -> list[Accepted]:
    """Ask with the same ids, as every caller does, until the ledger can answer."""
    answered: list[list[Accepted]] = []

    def is_answered() -> bool:
        try:
            answered.append(accept(ledger, asked))
        except LedgerUnavailable:
            return False
        return True

    wait_until(is_answered)
    return answered[0]


def history_in_batches() -> list[list[Request]]:
    return [history.opening(), *islice(history.packs(), BATCHES)]


def assert_one_history(books: Books, batches: Sequence[Sequence[Request]], told: Sequence[Accepted]) -> None:
    """Each request is one entry, at the place that its caller was told, in one log that re-execution agrees with."""
    asked = list(chain.from_iterable(batches))
    indexes = [outcome.index for outcome in told]
    assert sorted(indexes) == list(range(1, len(asked) + 1))
    assert books.queries.head().size == len(asked) + 1
    assert [outcome.index for outcome in books.accept(*asked)] == indexes
    report = verify.verify(books.engine, signatures.public_key_of(IDENTITY.seed), lambda _done, _total: None)
    assert (report.ok, report.size) == (True, len(asked) + 1)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_writer_killed_inside_a_batch_is_followed_by_the_standby(database_url, moment):
    batches = history_in_batches()
    with contending(database_url, fate=f"KILL:{moment}") as (process, active), standing_by(database_url) as standby:
        books, base_url = standby
        assert books.writer.role is Role.STANDBY
        with closing(RemoteLedger(active, base_url, token=TOKEN)) as ledger:
            told = [outcome for batch in batches for outcome in ask_until_answered(ledger, batch)]

        assert process.wait() == -signal.SIGKILL
        assert_one_history(books, batches, told)
        committed = 2 + (moment == "after_commit")
        first_of_standby = 1 + len(batches[0]) + committed * history.BATCH
        assert epochs(books.engine) == [(1, contender.HOLDER, 0), (2, "standby", first_of_standby)]


# Inside a commit SQLite lets nobody else write, however long the writer sleeps: another test.
@pytest.mark.parametrize(
    ("engine", "moment"),
    [*(("postgres", moment) for moment in MOMENTS), ("sqlite", "before_commit"), ("sqlite", "after_commit")],
)
def test_a_writer_that_wakes_up_after_its_lease_adds_nothing_and_stands_by(request, engine, moment):
    database_url: str = request.getfixturevalue(f"{engine}_url")
    batches = history_in_batches()
    with contending(database_url, fate=f"STOP:{moment}") as (process, active), standing_by(database_url) as standby:
        books, base_url = standby
        with closing(RemoteLedger(active, base_url, token=TOKEN, answer_s_max=1)) as ledger:
            told = [outcome for batch in batches for outcome in ask_until_answered(ledger, batch)]
            assert books.writer.is_writing()

            process.send_signal(signal.SIGCONT)
            wait_for_line(process, "ledger_stands_by")

            assert_one_history(books, batches, told)
            books.writer.stop()
            (later,) = ask_until_answered(ledger, [fund(2)])

        assert later.index == len(told) + 1
        assert [holder for _, holder, _ in epochs(books.engine)] == [contender.HOLDER, "standby", contender.HOLDER]


def test_of_two_that_start_at_once_one_writes_and_the_other_goes_on_when_it_dies(database_url):
    database.migrate(database_url)
    with contending(database_url) as (process, one), standing_by(database_url) as (books, other):
        with closing(RemoteLedger(one, other, token=TOKEN)) as ledger:
            first = ask_until_answered(ledger, [fund(1)])
            process.kill()
            second = ask_until_answered(ledger, [fund(2)])

        assert [outcome.index for outcome in first + second] == [1, 2]
        assert books.writer.is_writing()


def test_both_find_their_places_again_when_the_server_comes_back():
    with servers.postgres(fast=True) as server, server.fresh_database() as url:
        database.migrate(url)
        server.kill()
        with running_later(url, "one") as one, running_later(url, "other") as other:
            assert {one.writer.role, other.writer.role} == {Role.UNAVAILABLE}
            for cents in (1, 2):
                server.start()
                wait_until(lambda: {one.writer.role, other.writer.role} == {Role.ACTIVE, Role.STANDBY})
                active = one if one.writer.is_writing() else other
                (outcome,) = active.accept(fund(cents))
                assert outcome.index == cents
                server.kill()
                wait_until(lambda: {one.writer.role, other.writer.role} == {Role.UNAVAILABLE})
        server.start()


@contextmanager
def running_later(url: str, holder: str) -> Iterator[Books]:
    """A ledger over a database that is not there yet."""
    with running(url, holder=holder, may_stand_by=True, migrate=False) as books:
        yield books


def test_what_a_standby_waits_for_is_less_than_five_seconds():
    waits_ms = lease.LEASE_MS_MAX + connection.LOCK_WAIT_MS

    assert waits_ms <= 3_500
