"""Trying other contracts on a ledger's own history: what is counted, and that the same inputs give the same result."""

import json
import os
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from contracts import execute, programmes
from contracts.closing import CloseBooks, PublishStatement
from services import contract_sets, simulation
from services.simulation import DIGEST, NothingToSimulate, Span, digest_of
from services.simulation.side import home_type_of
from tests.services.contract_sets.second import OWN, other_parameters, other_rule
from tests.services.ledger.builders import Books, Home, accept, fund, request, running
from tests.services.ledger.test_activation import activation, admit_members

ROOT = Path(__file__).parents[3]
DAY = Span(date(2026, 6, 30), date(2026, 6, 30))
"""The day on which every home of these tests begins to tell."""


def lived(books: Books, *, homes: int = 2, packs: int = 12, cents: int = 1_000_000) -> None:
    """An hour and more of each home."""
    towns = [Home(f"unit-{number}", f"customer-{number}") for number in range(homes)]
    accept(books.ledger, [*([fund(cents)] if cents else []), *(asked for home in towns for asked in home.joining())])
    for _ in range(packs):
        accept(books.ledger, [home.record() for home in towns])


def tried(books: Books, span: Span = DAY, **what: bytes) -> dict[str, Any]:
    what = what or {"parameters": other_parameters()}
    return simulation.simulate(books.engine, span, lambda _done, _size: None, **what).document()


def test_the_cost_of_each_rule_is_told_under_both(database_url):
    with running(database_url) as books:
        lived(books)
        size = books.ledger.head().size

        found = tried(books)

        present, proposed = found["cost"]["present"], found["cost"]["proposed"]
        assert present["micro_sparks_by_rule"]["self_supply"] == 24 * 100 * 400
        assert proposed["micro_sparks_by_rule"]["self_supply"] == 24 * 100 * 401
        assert proposed["micro_sparks_by_rule"]["green_export"] == present["micro_sparks_by_rule"]["green_export"]
        assert present["minted_micro_sparks"] == sum(present["micro_sparks_by_rule"].values())
        assert present["minted_micro_cad"] == present["minted_micro_sparks"] // 100
        assert (found["homes"]["homes"], found["homes"]["gain"], found["homes"]["lose"]) == (2, 2, 0)
        assert found["homes"]["gained_micro_sparks"] == 24 * 100
        assert books.ledger.head().size == size


def test_what_was_told_of_a_day_is_not_tried_again(sqlite_url):
    """A statement tells what was: under other rates its total would not be the books'."""
    with running(sqlite_url) as books:
        lived(books, packs=2)
        day = programmes.load().local_day(books.clock.now_s()) - 1
        (closed,) = books.accept(request(CloseBooks(day)))
        owed = closed.result["outstanding_micro_sparks"], closed.result["deferred_micro_sparks"]
        books.accept(request(PublishStatement(day, b"r" * 32, 8, *owed)))

        found = tried(books)

        assert found["rejected"] == {"present": {}, "proposed": {}}


def test_what_the_ledger_holds_now_is_what_the_present_side_comes_to(sqlite_url):
    with running(sqlite_url) as books:
        lived(books, homes=1, packs=3)

        cost = tried(books)["cost"]["present"]
        minted = books.ledger.entries_of(["minted"])

        assert cost["minted_micro_sparks"] == -sum(
            posting.amount for entry in minted for posting in entry.postings if posting.account == "minted"
        )


def test_homes_are_told_apart_by_level_zone_and_type(sqlite_url):
    with running(sqlite_url) as books:
        lived(books)

        found = tried(books)

        assert found["by_level"].keys() == {"saver"}
        assert found["by_zone"].keys() == {"toronto"}
        assert found["by_home_type"].keys() == {"large panels, battery"}
        assert "unit-0" not in json.dumps(found)
        assert "customer-0" not in json.dumps(found)


@pytest.mark.parametrize(
    ("pv_w", "has_battery", "name"),
    [(0, True, "no panels, battery"), (5_000, False, "small panels"), (5_001, True, "large panels, battery")],
)
def test_a_home_type_follows_from_nameplate_and_battery(pv_w: int, has_battery: bool, name: str):
    assert home_type_of(pv_w, has_battery=has_battery) == name


def test_what_the_reserve_does_not_fund_is_told_as_deferred(sqlite_url):
    with running(sqlite_url) as books:
        lived(books, homes=1, packs=2, cents=0)

        cost = tried(books)["cost"]

        assert cost["present"]["minted_micro_sparks"] == 0
        assert 0 < cost["present"]["deferred_micro_sparks"] < cost["proposed"]["deferred_micro_sparks"]


def test_only_packs_of_the_days_count(sqlite_url):
    with running(sqlite_url) as books:
        lived(books)

        with pytest.raises(NothingToSimulate, match="no packs"):
            tried(books, Span(date(2026, 6, 29), date(2026, 6, 29)))
        with pytest.raises(NothingToSimulate):
            Span(date(2026, 7, 2), date(2026, 7, 1))


def test_other_code_can_be_tried_too(sqlite_url):
    with running(sqlite_url) as books:
        lived(books)

        found = tried(books, files=other_rule())

        assert found["homes"]["gain"] == 2
        assert found["contracts"]["present"] == execute.version().hex()


def test_the_present_is_what_is_active_whatever_was_before(sqlite_url):
    with running(sqlite_url) as books:
        lived(books)
        admit_members(books)
        books.accept(activation(books, other_rule()))

        found = tried(books, files=OWN)

        assert found["contracts"]["proposed"] == execute.version().hex()
        assert (found["homes"]["gain"], found["homes"]["lose"]) == (0, 2)


def test_a_file_of_parameters_that_is_none_is_refused(sqlite_url):
    with running(sqlite_url) as books:
        lived(books, homes=1, packs=1)

        with pytest.raises(contract_sets.UnusableBundle, match="cannot be read"):
            tried(books, parameters=b"name = ")


def test_two_processes_come_to_the_same_hash_and_write_it_down(sqlite_url, tmp_path):
    with running(sqlite_url) as books:
        lived(books)
        here = tried(books)
    (tmp_path / "new.toml").write_bytes(other_parameters())
    command = [sys.executable, "-m", "services.cli", "contract", "simulate", "--json", "--params", "new.toml"]
    days = ["--from", "2026-06-30", "--to", "2026-06-30", "--result", "result.json"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "SPARKS_DATA_DIR": str(tmp_path), "PYTHONHASHSEED": "7"}

    done = subprocess.run([*command, *days], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)

    assert json.loads(done.stdout.splitlines()[-1]) == here
    assert json.loads((tmp_path / "result.json").read_text()) == here
    assert here[DIGEST] == digest_of(here).hex()
