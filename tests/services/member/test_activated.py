"""A copy follows over the entry that makes another contract set active: each entry is executed by the set it names."""

import pytest

from contracts.approvals import GOVERN
from contracts.commands import DepositReserve
from services.ledger import entries
from tests.contracts.members import a_seed
from tests.services.contract_sets.second import other_rate, other_rule
from tests.services.ledger.builders import Books, Home, code, purchase, request, running, shop, verified
from tests.services.ledger.test_activation import activation, rate, town
from tests.services.member import stage
from tests.services.member.stage import MemberNode, operator

ANN = "customer-1"


def contract_versions(books: Books) -> list[bytes]:
    leaves = books.queries.entries(0, books.queries.size())
    return list(dict.fromkeys(entries.from_bytes(leaf).contract_version for leaf in leaves))


def go_on_under(books: Books, home: Home, files: bytes, name: str) -> None:
    """Earn and pay under the set that is active, and under another one from then on."""
    books.accept(verified(ANN), code(f"{name} before", ANN), purchase(f"{name} before"))
    before, _, after = books.accept(home.record(), activation(books, files), home.record())
    books.accept(code(f"{name} after", ANN), purchase(f"{name} after"))
    assert rate(before) != rate(after)


def assert_followed(books: Books, own: MemberNode) -> None:
    own.round()
    assert own.node.memory.standing() == []
    report = own.verify()
    assert report.ok, report.findings
    assert report.root == books.queries.head().root
    assert own.offer(books.queries.checkpoint()).status_code == 200


def copy_of(database_url: str, url: str, *, is_given: bool):
    who = "interac" if is_given else "auditor"
    return stage.member(database_url, url, is_given=is_given, who=who, seed=a_seed(f"{who} {GOVERN}"))


@pytest.mark.parametrize("is_given", [False, True], ids=["all", "given"])
@pytest.mark.parametrize("files", [other_rate(), other_rule()], ids=["parameters", "code"])
def test_old_entries_are_executed_by_the_old_set_and_new_ones_by_the_new(
    tmp_path_factory: pytest.TempPathFactory, database_url: str, files: bytes, is_given: bool
):
    with running(f"sqlite:///{tmp_path_factory.mktemp('operator') / 'operator.db'}") as books:
        home = town(books)
        books.accept(shop())
        with operator(books) as url:
            go_on_under(books, home, files, "one")
            with copy_of(database_url, url, is_given=is_given) as own:
                assert_followed(books, own)
    assert len(contract_versions(books)) == 2


@pytest.mark.parametrize("is_given", [False, True], ids=["all", "given"])
def test_a_copy_that_was_there_goes_on_under_each_set_and_after_a_restart_too(
    tmp_path_factory: pytest.TempPathFactory, sqlite_url: str, is_given: bool
):
    with running(f"sqlite:///{tmp_path_factory.mktemp('operator') / 'operator.db'}") as books:
        home = town(books)
        books.accept(shop())
        with operator(books) as url:
            with copy_of(sqlite_url, url, is_given=is_given) as own:
                own.round()
                go_on_under(books, home, other_rule(), "one")
                own.round()
                assert own.node.memory.standing() == []
                assert own.node.status().size == books.queries.size()
            books.accept(request(DepositReserve(1_000, "by the rule of the new set")), home.record())
            with copy_of(sqlite_url, url, is_given=is_given) as own:
                assert_followed(books, own)
