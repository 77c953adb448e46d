"""What is killed or missing in the middle: nothing is lost, nothing counts twice, the counts add up."""

from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from benchmarks.servers import free_port
from contracts.commands import Request
from services.database import DatabaseUnavailable
from services.ingestion import keeping
from services.ingestion.metrics import Metrics
from services.ingestion.patience import Patience, Stopping
from services.ingestion.program import STOP_S_MAX, Ingestion
from services.ingestion.sources.mqtt import endpoint
from services.ledger.client import Failed, LedgerUnavailable, Outcome, Running
from services.setaside import tallies
from tests.services.ingestion.platform import INGESTION, Memory, Platform
from tests.services.ledger.builders import Home


class Killed(BaseException):
    """The process ends here."""


def fail_once(monkeypatch: pytest.MonkeyPatch, platform: Platform, error: BaseException, *, happened: bool) -> None:
    """The next submission raises, before or after the ledger did what was asked."""
    submit = type(platform.books.ledger).submit
    failures = [error]

    def submit_or_fail(self: Any, requests: Sequence[Request]) -> list[Outcome]:
        if failures and not happened:
            raise failures.pop()
        outcomes = submit(self, requests)
        if failures:
            raise failures.pop()
        return outcomes

    monkeypatch.setattr(type(platform.books.ledger), "submit", submit_or_fail)


def kill_in(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, *, happened: bool) -> Callable[[], None]:
    """Each call of this function ends the process, until what is returned lets the next process live."""
    original = getattr(owner, name)

    def killing(*args: Any, **options: Any) -> Any:
        if happened:
            original(*args, **options)
        raise Killed

    monkeypatch.setattr(owner, name, killing)
    return lambda: monkeypatch.setattr(owner, name, original)


@pytest.mark.parametrize("happened", [False, True], ids=["before_effect", "after_effect"])
def test_while_the_ledger_is_away_nothing_is_acknowledged_and_then_all_is_accepted(
    platform: Platform, home: Home, monkeypatch: pytest.MonkeyPatch, happened: bool
):
    fail_once(monkeypatch, platform, LedgerUnavailable("away"), happened=happened)

    platform.receive("unit-1", *[home.message() for _ in range(5)])

    assert platform.counts() == {"accepted": 5}
    assert platform.transport.unacknowledged == []


@pytest.mark.parametrize("happened", [False, True], ids=["before_effect", "after_effect"])
def test_a_crash_at_the_ledger_leaves_every_message_to_be_judged_again(
    platform: Platform, home: Home, monkeypatch: pytest.MonkeyPatch, happened: bool
):
    good, bad = home.message(), home.message(pv_wh=-1, load_wh=0)
    fail_once(monkeypatch, platform, Killed(), happened=happened)
    with pytest.raises(Killed):
        platform.receive("unit-1", good, bad)
    assert len(platform.transport.unacknowledged) == 2

    platform.start()
    platform.work()

    assert platform.counts() == ({"duplicate": 2} if happened else {"accepted": 1, "refused": 1})
    (row,) = platform.quarantine()
    assert (row.reason, row.raw, row.entry_index) == ("negative_energy", bad, platform.meter().decided_at)
    assert platform.receipts()[-1].refused == ((2, "negative_energy"),)
    assert platform.transport.unacknowledged == []


@pytest.mark.parametrize("happened", [False, True], ids=["before_effect", "after_effect"])
def test_a_crash_before_the_commit_leaves_parked_packs_to_be_settled(
    platform: Platform, home: Home, monkeypatch: pytest.MonkeyPatch, happened: bool
):
    first, second = home.message(), home.message()
    platform.receive("unit-1", second)
    revive = kill_in(monkeypatch, keeping, "keep", happened=happened)
    with pytest.raises(Killed):
        platform.receive("unit-1", first)
    revive()
    assert platform.counts() == {"waiting": 1}

    platform.start()
    platform.work()

    assert platform.counts() == {"accepted": 1, "duplicate": 1}
    assert platform.meter().seq == 2


def test_a_crash_between_commit_and_acknowledgement_makes_a_duplicate(
    platform: Platform, home: Home, monkeypatch: pytest.MonkeyPatch
):
    first, third = home.message(), (home.message(), home.message())[1]
    revive = kill_in(monkeypatch, Memory, "acknowledge", happened=False)
    with pytest.raises(Killed):
        platform.receive("unit-1", first, third, b"nonsense")
    revive()

    platform.start()
    platform.work()

    assert platform.counts() == {"accepted": 1, "waiting": 1, "duplicate": 2, "quarantined": 2}


def test_a_database_that_cannot_write_is_waited_for(platform: Platform, home: Home, monkeypatch: pytest.MonkeyPatch):
    count, failures = tallies.count, [DatabaseUnavailable("full"), DatabaseUnavailable("full")]

    def count_or_fail(*args: Any) -> None:
        if failures:
            raise failures.pop()
        count(*args)

    monkeypatch.setattr(tallies, "count", count_or_fail)
    platform.receive("unit-1", home.message())

    assert platform.counts() == {"accepted": 1}


def test_the_program_can_end_while_it_waits_for_the_ledger():
    pauses: list[float] = []

    def pause(seconds: float) -> bool:
        pauses.append(seconds)
        return len(pauses) == 8

    def away() -> None:
        raise LedgerUnavailable("away")

    with pytest.raises(Stopping):
        Patience(pause).call(away)
    assert pauses == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]


@pytest.mark.parametrize("answer", [Running(), Failed("a bug")])
def test_what_another_worker_asks_is_asked_again_and_a_failure_is_set_aside(
    platform: Platform, home: Home, monkeypatch: pytest.MonkeyPatch, answer: Outcome
):
    submit, answers = type(platform.books.ledger).submit, [answer]
    monkeypatch.setattr(
        type(platform.books.ledger),
        "submit",
        lambda self, requests: [answers.pop()] if answers else submit(self, requests),
    )

    platform.receive("unit-1", home.message())

    expected = {"accepted": 1} if isinstance(answer, Running) else {"quarantined": 1}
    assert platform.counts() == expected


def test_the_program_stops_at_once_although_broker_and_ledger_are_away(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
):
    def away(_keys: Sequence[str]) -> None:
        raise LedgerUnavailable("away")

    books = platform.books
    monkeypatch.setattr(type(books.ledger), "rows", lambda self, keys: away(keys))
    program = Ingestion(
        endpoint(f"mqtt://127.0.0.1:{free_port()}", login=None, shared=False),
        ledger=books.ledger,
        engine=books.engine,
        clock=books.clock,
        identity=INGESTION,
        metrics=Metrics(CollectorRegistry(), books.engine),
    )
    program.start()

    began = monotonic()
    program.stop()

    assert monotonic() - began < STOP_S_MAX
    assert not program.is_working()
    assert not program.is_connected()
