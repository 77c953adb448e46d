"""`sparks member status` and `decide`: what a person is told of a copy, and by which exit code a machine knows."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from services.cli import app
from services.ledger.deliveries import words
from tests.services.ledger.builders import Books, Home, code, fund, purchase, running, shop, verified
from tests.services.ledger.http_ledger import LOG_KEY
from tests.services.member.stage import NETWORK, member, mint_one_more, network, operator

ANN = "customer-1"
Ask = Callable[..., Result]


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    with running(f"sqlite:///{tmp_path / 'operator.db'}") as books:
        home = Home()
        books.accept(fund(), *home.joining(), verified(ANN), shop())
        books.accept(home.record(intervals=6, pv_wh=400), code("a", ANN), purchase("a"))
        yield books


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """The command line of the member whose data folder is `tmp_path`."""
    monkeypatch.setenv("SPARKS_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("SPARKS_MEMBER_LOG_KEY", LOG_KEY.text())

    def run(*words: str, url: str) -> Result:
        monkeypatch.setenv("SPARKS_MEMBER_OPERATOR_URL", url)
        return CliRunner().invoke(app, ["member", *words])

    return run


def test_a_disagreement_is_exit_code_1_with_the_entry_and_both_values_until_somebody_decided(
    books: Books, tmp_path: Path, ask: Ask
):
    books.writer.stop()
    forged = mint_one_more(books.engine)
    with operator(books) as url:
        with member(f"sqlite:///{tmp_path / 'sparks.db'}", url) as own:
            own.round()
            (found,) = own.node.memory.standing()
            difference = found.difference
        shown = ask("status", url=url)

        assert shown.exit_code == 1
        assert f"entry {forged}: " in shown.stderr
        assert f"{difference.ours} here, {difference.theirs} at {url}" in shown.stderr
        assert ask("decide", url=url).exit_code == 0
        assert ask("status", url=url).exit_code == 0


def test_a_copy_of_some_collections_says_what_it_executed_and_what_is_outside(books: Books, tmp_path: Path, ask: Ask):
    size = books.queries.size()
    with operator(books) as url:
        path = f"sqlite:///{tmp_path / 'sparks.db'}"
        with network(path, url) as own:
            own.round()
        shown = ask("status", "--json", url=url)

    assert shown.exit_code == 0
    assert f"given: 4 entries of {words(NETWORK.collections)} executed, {size - 4} outside; 0 behind" in shown.stderr
    said = json.loads(shown.stdout.splitlines()[-1])
    assert (said["copy"], said["collections"], said["executed"], said["outside"]) == (
        *("given", sorted(NETWORK.collections or ())),
        *(4, size - 4),
    )
