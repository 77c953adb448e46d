"""A member of all collections follows an operator over HTTP, on both engines."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import pytest

from contracts.wire import signatures
from services.ledger import notes
from services.ledger.notes import KeyType, OpenedNote, VerifierKey
from tests.services.ledger.builders import Books, Home, fund, running
from tests.services.ledger.http_ledger import LOG_KEY, serving_routers
from tests.services.member import stage
from tests.services.member.stage import MemberNode, Proxy, member, mint_one_more, network, operator

Keeper = Callable[..., AbstractContextManager[MemberNode]]

NAME_KEY = VerifierKey(stage.NAME, KeyType.COSIGNATURE, signatures.public_key_of(stage.cosign_seed(stage.SEED)))


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    """The operator's ledger with a home that earns."""
    with running(f"sqlite:///{tmp_path / 'operator.db'}", chance=bytes) as books:
        home = _begin(books)
        books.accept(*(home.record() for _ in range(5)))
        yield books


def _begin(books: Books) -> Home:
    """The first five entries, the same to the byte in every ledger of these tests: their salts are not drawn."""
    home = Home()
    books.accept(fund(), *home.joining())
    return home


def test_the_copy_is_the_operators_ledger_to_the_byte(books: Books, database_url: str):
    with operator(books) as url, member(database_url, url) as own:
        own.round()

        report = own.verify()
        assert report.ok, report.findings
        assert report.root == books.queries.head().root
        assert own.node.status().size == books.queries.size()


def test_a_copy_that_stood_still_catches_up_and_what_it_signs_goes_on(books: Books, database_url: str):
    home = Home("unit-2", "customer-2")
    with operator(books) as url:
        with member(database_url, url) as own:
            first = books.queries.checkpoint()
            signed = own.offer(first)
            assert signed.status_code == 200, signed.text
            opened = notes.open_note(first + signed.content, [LOG_KEY, NAME_KEY])
            assert isinstance(opened, OpenedNote)
        old = books.queries.size()
        books.accept(*home.joining(), *(home.record() for _ in range(100)), *(fund(cents) for cents in range(1, 400)))
        with member(database_url, url) as own:
            new, size = books.queries.checkpoint(), books.queries.size()
            proof = books.queries.consistency_proof(old, size)
            assert own.offer(new, old=old, proof=proof).status_code == 200
            assert own.verify().ok
            assert httpx.get(f"{own.url}/log/checkpoint").content == new


def test_an_entry_from_the_future_is_not_signed_until_the_clock_has_come_to_it(books: Books, database_url: str):
    size, now_s = books.queries.size(), books.clock.now_s()
    books.clock.advance_to(now_s + 100)
    books.accept(fund(7))
    books.clock.advance_to(now_s + 200)
    books.accept(fund(8), fund(9))
    clock_s = now_s + 100
    with operator(books) as url, member(database_url, url, latest_s=lambda: clock_s) as own:
        own.round()
        assert own.offer(books.queries.checkpoint()).status_code == 503
        status = own.node.status()
        assert (status.size, status.operator_size, status.disagreements) == (size + 1, size + 3, 0)

        clock_s = books.clock.now_s()
        own.round()
        assert own.offer(books.queries.checkpoint()).status_code == 200
        assert own.verify().ok


def test_a_mint_of_one_micro_spark_too_much_is_refused_and_named_after_a_restart_too(books: Books, database_url: str):
    books.writer.stop()
    forged = mint_one_more(books.engine)
    with operator(books) as url:
        with member(database_url, url) as own:
            assert own.offer(books.queries.checkpoint()).status_code == 422
        with member(database_url, url) as own:
            (found,) = own.node.memory.standing()
            assert found.difference.index == forged
            assert int(found.difference.theirs.split()[-1]) - int(found.difference.ours.split()[-1]) in (1, -1)
            assert own.node.status().size == forged
            assert own.offer(books.queries.checkpoint()).status_code == 422


@pytest.mark.parametrize(
    ("file", "copy_of"),
    [
        *(("log/tile/entries/", kind) for kind in (member, network)),
        *(("log/tile/0/", kind) for kind in (member, network)),
        ("v1/members/payloads", member),
    ],
)
def test_bytes_changed_on_the_way_are_refused(books: Books, sqlite_url: str, file: str, copy_of: Keeper):
    def change(path: str, body: bytes) -> bytes:
        return body.replace(body[-40:-8], bytes(32), 1) if path.startswith(file) else body

    with (
        operator(books) as url,
        serving_routers(Proxy(url, change).router()) as between,
        copy_of(sqlite_url, between) as own,
    ):
        own.round()

        assert len(own.node.memory.standing()) == 1
        assert own.offer(books.queries.checkpoint()).status_code == 422


@pytest.mark.parametrize("file", ["log/tile/entries/", "log/tile/0/"])
def test_what_was_copied_and_is_served_otherwise_now_is_noticed_though_nothing_is_added(
    books: Books, sqlite_url: str, file: str
):
    proxy = Proxy("")
    with (
        operator(books) as proxy.upstream,
        serving_routers(proxy.router()) as between,
        member(sqlite_url, between) as own,
    ):
        own.round()
        assert own.node.memory.standing() == []

        proxy.change = lambda path, body: body.replace(body[-40:-8], bytes(32), 1) if path.startswith(file) else body
        own.round()

        (found,) = own.node.memory.standing()
        assert found.difference.ours != found.difference.theirs
        assert own.offer(books.queries.checkpoint()).status_code == 422


@pytest.mark.parametrize("copy_of", [member, network], ids=["all", "given"])
@pytest.mark.parametrize("dropped", [False, True], ids=["rewritten", "dropped"])
def test_a_history_that_is_rewritten_is_refused_at_its_first_other_entry(
    books: Books, tmp_path: Path, sqlite_url: str, dropped: bool, copy_of: Keeper
):
    with running(f"sqlite:///{tmp_path / 'other.db'}", chance=bytes) as other:
        home = _begin(other)
        later = [home.record() for _ in range(12)]
        # Without its second reading, or with another entry in the place of its first.
        other.accept(*(later[:1] if dropped else [fund(7)]), *(fund(cents) for cents in range(10, 20)))
        with operator(books) as url, operator(other) as other_url:
            proxy = Proxy(url)
            with serving_routers(proxy.router()) as between, copy_of(sqlite_url, between) as own:
                own.round()
                proxy.upstream = other_url
                own.round()

                (found,) = own.node.memory.standing()
                assert found.difference.index == (6 if dropped else 5)
                assert found.difference.ours != found.difference.theirs
                metrics = own.node.status()
                assert metrics.disagreements == 1


@pytest.mark.parametrize("copy_of", [member, network], ids=["all", "given"])
def test_a_fork_shown_to_two_members_is_found_by_both(books: Books, tmp_path: Path, sqlite_url: str, copy_of: Keeper):
    with running(f"sqlite:///{tmp_path / 'other.db'}", chance=bytes) as other:
        _begin(other)
        other.accept(fund(7))
        with operator(books) as url, operator(other) as other_url:
            second_url = f"sqlite:///{tmp_path / 'second.db'}"
            with member(sqlite_url, url) as first, copy_of(second_url, other_url, peers=[first.url]) as second:
                first.round()
                second.round()

                (found,) = second.node.memory.standing()
                assert (found.source, found.difference.index) == (first.url, 5)
                assert second.offer(other.queries.checkpoint()).status_code == 422
