"""What is active on a ledger is what is shown: its parameters within a second, and each set by its version."""

from dataclasses import replace

import pytest

from contracts import bundle, execute, programmes
from services import contract_sets
from services.contract_sets import CarriedSets, UnusableBundle
from services.ledger.remote import RemoteLedger
from tests.services.contract_sets.second import OWN, PROGRAMME, other_parameters, other_rate, other_rule, replaced
from tests.services.ledger.builders import running
from tests.services.ledger.http_ledger import TOKEN, application, served
from tests.services.ledger.test_activation import activation, town

RATES = {"off": 401, "mid": 801, "on": 3200}


class Stopwatch:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def rates(sets: CarriedSets) -> dict[str, int]:
    return dict(sets.programme().micro_sparks_per_wh["self_supply"])


@pytest.mark.parametrize("files", [other_rate(), other_rule()], ids=["parameters", "code"])
def test_the_parameters_of_another_set_are_told_within_a_second_of_its_activation(database_url, files):
    with running(database_url) as books:
        town(books)
        stopwatch = Stopwatch()
        sets = CarriedSets(books.ledger.stored, monotonic=stopwatch)
        assert sets.programme() == programmes.load()

        books.accept(activation(books, files))
        stopwatch.now_s = 0.9
        before = rates(sets)
        stopwatch.now_s = 1.0

        assert (before["off"], rates(sets)) == (400, RATES)
        assert sets.active().version == bundle.version_of(bundle.from_bytes(files))
        assert sets.of(execute.version()).programme == programmes.load()


def test_a_program_in_another_process_is_told_the_same(sqlite_url):
    with running(sqlite_url) as books, served(application(books.ledger, books.queries)) as url:
        town(books)
        books.accept(activation(books, other_rule()))
        remote = RemoteLedger(url, token=TOKEN)
        sets = CarriedSets(remote.stored)

        assert rates(sets) == RATES
        assert sets.active().version == bundle.version_of(bundle.from_bytes(other_rule()))
        remote.close()


def test_a_set_that_the_ledger_does_not_carry_is_not_made_up(sqlite_url):
    with running(sqlite_url) as books, pytest.raises(UnusableBundle, match="does not carry"):
        books.queries.sets.of(bytes(32))


def test_before_a_log_is_opened_the_program_s_own_parameters_hold():
    sets = CarriedSets(lambda keys: [None for _ in keys])

    assert sets.programme() == programmes.load()
    assert sets.active().version == execute.version()


def test_parameters_are_read_without_executing_anything_of_the_set():
    broken = replaced(other_rate(), "units.py", b"from typing import", b"raise SystemExit\nfrom typing import")

    assert contract_sets.parameters_of(broken, PROGRAMME).micro_sparks_per_wh["self_supply"] == RATES


def test_what_an_older_set_does_not_name_is_as_here_and_what_a_newer_one_knows_is_left_out():
    changed = other_parameters().replace(b"hold_s = 7200\n", b"another_limit = 3\n")
    files = contract_sets.with_parameters(OWN, PROGRAMME, changed)

    read = contract_sets.parameters_of(files, PROGRAMME)

    assert read == replace(
        programmes.load(), micro_sparks_per_wh={**programmes.load().micro_sparks_per_wh, "self_supply": RATES}
    )


def test_an_identity_level_that_only_the_other_set_has_is_told():
    changed = other_parameters() + b"\n[spending.gold]\nday_cents = 5\nthirty_days_cents = 50\n"
    files = contract_sets.with_parameters(OWN, PROGRAMME, changed)

    assert contract_sets.parameters_of(files, PROGRAMME).spending["gold"].day_cents == 5


@pytest.mark.parametrize("parameters", [b"name =", b"offsets = 3", b"\xff"])
def test_a_file_that_is_no_programme_is_one_line(parameters):
    with pytest.raises(UnusableBundle, match="parameters of a contract set"):
        contract_sets.parameters_of(contract_sets.with_parameters(OWN, PROGRAMME, parameters), PROGRAMME)
