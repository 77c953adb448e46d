"""A copy follows over the entry that makes another contract set active: each entry is executed by the set it names."""

import pytest

from contracts import bundle
from contracts.approvals import GOVERN
from contracts.commands import DepositReserve
from services import contract_sets
from services.ledger import entries
from tests.contracts.members import a_seed
from tests.services.contract_sets.second import OWN, PROGRAMME, other_rate, other_rule
from tests.services.ledger.builders import Books, Home, code, purchase, request, running, shop, verified
from tests.services.ledger.test_activation import activation, rate, town
from tests.services.member import stage
from tests.services.member.stage import MemberNode, operator
from tests.services.member.test_erased import erase, erased

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


def test_a_role_that_is_given_more_by_another_set_executes_from_then_on_what_is_kept_from_then_on(
    tmp_path_factory: pytest.TempPathFactory, database_url: str
):
    """What a collection's entries read is kept since some role is given it; before, they are taken as committed."""
    words = b'network = ["governance", "checkout", "statements"]'
    files = bundle.from_bytes(OWN)[bundle.parameters_path(PROGRAMME)]
    assert files.count(words) == 1
    more = contract_sets.with_parameters(OWN, PROGRAMME, files.replace(words, words[:-1] + b', "utility"]'))
    with running(f"sqlite:///{tmp_path_factory.mktemp('operator') / 'operator.db'}") as books:
        home = town(books)
        books.accept(shop(), verified(ANN), home.record(intervals=6, pv_wh=400))
        books.accept(activation(books, more))
        books.accept(home.record(intervals=6, pv_wh=400), code("a", ANN), purchase("a"), home.record())
        with operator(books) as url, copy_of(database_url, url, is_given=True) as own:
            own.round()

            assert own.node.memory.standing() == []
            assert own.node.status().executed == books.queries.size()
            report = own.verify()
            assert report.ok, report.findings
            assert (report.outside, report.taken) == (0, 6)
            assert own.offer(books.queries.checkpoint()).status_code == 200

            named = erase(books, ANN)
            own.round()
            assert own.node.memory.standing() == []
            assert erased(own) == set(named)
            report = own.verify()
            assert report.ok, report.findings
