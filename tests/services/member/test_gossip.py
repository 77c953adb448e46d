"""Members compare what they were shown; only what the log signed counts, and who does not answer keeps nobody."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fastapi import APIRouter, Response

from services.ledger.members import Members
from services.member.gossip import urls_of
from tests.services.ledger.builders import Books, Home, fund, running
from tests.services.ledger.http_ledger import serving_routers
from tests.services.member import stage
from tests.services.member.stage import SEED, MemberNode, Proxy, member, operator

SEEDS = {"auditor": SEED, "second": hashlib.sha256(b"second").digest()}


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    with running(f"sqlite:///{tmp_path / 'operator.db'}", chance=bytes) as books:
        books.accept(fund(), *Home().joining())
        yield books


@pytest.fixture
def fork(tmp_path: Path) -> Iterator[Books]:
    """The same log to the byte, kept by the same operator in another place."""
    with running(f"sqlite:///{tmp_path / 'fork.db'}", chance=bytes) as books:
        books.accept(fund(), *Home().joining())
        yield books


def found(books: Books, second_url: str) -> None:
    """Two members are admitted, of whom the second has a node."""
    stage.admit(books, "auditor", "", SEEDS["auditor"], approved_by={})
    stage.admit(books, "second", second_url, SEEDS["second"], approved_by={"auditor": SEEDS["auditor"]})


@contextmanager
def second(tmp_path: Path, url: str) -> Iterator[MemberNode]:
    with member(f"sqlite:///{tmp_path / 'second.db'}", url, who="second", seed=SEEDS["second"]) as node:
        yield node


def test_a_fork_is_found_at_a_member_whose_address_is_on_the_ledger(
    books: Books, fork: Books, tmp_path: Path, sqlite_url: str
):
    with (
        operator(books) as url,
        operator(fork) as fork_url,
        second(tmp_path, fork_url) as other,
        member(sqlite_url, url, asks_members=True) as own,
    ):
        found(books, other.url)
        found(fork, other.url)
        size = books.queries.size()
        books.accept(fund(7), fund(9))
        fork.accept(fund(8))
        other.round()
        own.round()
        own.round()

        (standing,) = own.node.memory.standing()
        assert (standing.source, standing.difference.index) == (other.url, size)
        assert own.offer(books.queries.checkpoint()).status_code == 422
        assert other.node.memory.standing() == []  # it asks nobody here


def test_whom_a_member_asks_follows_from_the_ledger_and_its_settings(books: Books):
    found(books, "http://second.example")
    members = Members(books.queries, books.clock.now_s)
    named = ["http://friend.example"]

    def asked(own_id: str, *, asks_members: bool) -> list[str]:
        return urls_of(members, named=named, own_id=own_id, asks_members=asks_members)

    assert asked("auditor", asks_members=True) == [*named, "http://second.example"]
    assert asked("second", asks_members=True) == named
    assert asked("auditor", asks_members=False) == named


def _one_answer(body: bytes, status: int = 200) -> APIRouter:
    router = APIRouter()

    @router.get("/{path:path}")
    def answer(path: str) -> Response:
        return Response(body, status, headers={"Location": "/elsewhere"} if status == 302 else None)

    return router


@pytest.mark.parametrize(
    "lies",
    [_one_answer(b""), _one_answer(b"<html>a page</html>"), _one_answer(b"", 302), _one_answer(b"", 503)],
    ids=["nothing", "a page", "a redirect", "a failure"],
)
def test_what_the_log_did_not_sign_says_nothing_of_the_log(books: Books, sqlite_url: str, lies: APIRouter):
    with (
        serving_routers(lies) as liar,
        operator(books) as url,
        member(sqlite_url, url, peers=[liar, "http://127.0.0.1:9"]) as own,
    ):
        own.round()

        assert own.node.memory.standing() == []
        assert own.offer(books.queries.checkpoint()).status_code == 200


def test_tiles_that_are_not_those_of_the_signed_tree_say_nothing_of_the_log(
    books: Books, tmp_path: Path, sqlite_url: str
):
    """A member ahead of us that serves its checkpoint with other tiles is in disorder itself."""

    def change(path: str, body: bytes) -> bytes:
        return bytes(len(body)) if path.startswith("log/tile/") else body

    with operator(books) as url, serving_routers(Proxy(url, change).router()) as liar:
        with member(sqlite_url, url) as own:
            own.round()
        books.accept(fund(3))
        with member(sqlite_url, "http://127.0.0.1:9", peers=[liar]) as own:
            own.gossip.round()

            assert own.node.memory.standing() == []
            assert own.node.status().size < books.queries.size()
