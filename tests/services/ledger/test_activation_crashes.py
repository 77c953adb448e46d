"""A writer is killed around the entry that activates another contract set: one history, one active set everywhere."""

import signal
from collections.abc import Sequence
from contextlib import closing
from itertools import islice
from typing import NamedTuple

import pytest

from contracts import execute
from contracts.approvals import GOVERN
from contracts.commands import Request
from contracts.governed import ActivateContracts
from services import contract_sets
from services.contract_sets import CarriedSets
from services.ledger import entries
from services.ledger.client import Accepted, LedgerUnavailable
from services.ledger.remote import RemoteLedger
from tests.contracts.members import a_seed
from tests.services.contract_sets.second import other_rule
from tests.services.ledger import contender, history
from tests.services.ledger.builders import Books, running
from tests.services.ledger.http_ledger import TOKEN
from tests.services.ledger.takeover import epochs, wait_until
from tests.services.ledger.test_activation import NAMES, admissions, signed
from tests.services.ledger.test_takeover import (
    MOMENTS,
    ask_until_answered,
    assert_one_history,
    contending,
    standing_by,
)
from tests.services.member.stage import member, operator

KIND = ActivateContracts.KIND
FILES = other_rule()
VERSION = contract_sets.version_of(FILES)
AT = [f"{moment}:{KIND}" for moment in MOMENTS]
AFTER = [f"in_commit:{KIND}:next"]


class Story(NamedTuple):
    """Batches of requests; the activation shares its with what was asked before and after it."""

    batches: list[list[Request]]
    activation: Request


def story() -> Story:
    first, second, third, fourth = islice(history.packs(), 4)
    activation = signed(ActivateContracts(len(NAMES), VERSION, FILES, None, b"", ()), *NAMES[:2])
    return Story([history.opening(), admissions(), first, [*second, activation, *third], fourth], activation)


def assert_same_everywhere(books: Books, told: Story, outcomes: Sequence[Accepted], sqlite_url: str) -> None:
    """What each entry was executed by, here and at a member that comes later; and what is active for whoever asks."""
    assert_one_history(books, told.batches, outcomes)
    asked = [request for batch in told.batches for request in batch]
    at = outcomes[asked.index(told.activation)].index
    versions = [entries.from_bytes(entry).contract_version for entry in books.queries.entries(0, len(asked) + 1)]
    assert versions == [execute.version()] * (at + 1) + [VERSION] * (len(asked) - at)
    assert books.queries.sets.active().version == VERSION
    seed = a_seed(f"auditor {GOVERN}")
    with operator(books) as url, member(sqlite_url, url, seed=seed) as own:
        wait_until(lambda: own.node.status().size == len(asked) + 1)
        assert own.verify().ok
        assert own.verify().root == books.queries.head().root
        assert own.node.memory.standing() == []


@pytest.mark.parametrize("fate", AT + AFTER)
def test_the_standby_goes_on_under_the_set_that_was_committed(database_url, tmp_path, fate):
    told = story()
    with contending(database_url, fate=f"KILL:{fate}") as (process, active), standing_by(database_url) as standby:
        books, base_url = standby
        with closing(RemoteLedger(active, base_url, token=TOKEN)) as ledger:
            outcomes = [outcome for batch in told.batches for outcome in ask_until_answered(ledger, batch)]
            assert CarriedSets(ledger.stored).active().version == VERSION

        assert process.wait() == -signal.SIGKILL
        assert [holder for _, holder, _ in epochs(books.engine)] == [contender.HOLDER, "standby"]
        assert_same_everywhere(books, told, outcomes, f"sqlite:///{tmp_path / 'member.db'}")


@pytest.mark.parametrize("fate", AT)
def test_a_writer_that_is_started_again_does_too(database_url, tmp_path, fate):
    told = story()
    with contending(database_url, fate=f"KILL:{fate}") as (process, active):
        with closing(RemoteLedger(active, token=TOKEN)) as ledger:
            answered = _ask_until_it_dies(ledger, told.batches)
        assert process.wait() == -signal.SIGKILL

    with running(database_url) as books:
        outcomes = [outcome for batch in told.batches for outcome in books.accept(*batch)]

        assert all(outcome.repeated for outcome in outcomes[:answered])
        assert_same_everywhere(books, told, outcomes, f"sqlite:///{tmp_path / 'member.db'}")


def _ask_until_it_dies(ledger: RemoteLedger, batches: Sequence[Sequence[Request]]) -> int:
    """How many requests were answered before the writer was killed."""
    answered = 0
    for batch in batches:
        try:
            answered += len(ledger.submit(batch))
        except LedgerUnavailable:
            return answered
    raise AssertionError("it was not killed")
