"""The ledger's HTTP face: the public log as C2SP wants it, and calls that only holders of the token may make."""

from collections.abc import Iterator, Sequence

import httpx
import pytest

from contracts.commands import EnrollCustomer, PublishSignal, Request
from contracts.units import HOUR_S
from services.ledger import proofs, wireform
from services.ledger.client import LedgerUnavailable, Outcome
from services.ledger.local import LocalLedger
from tests.services.ledger import builders
from tests.services.ledger.builders import START_S, Books
from tests.services.ledger.http_ledger import LOG_KEY, TOKEN, application, served
from tests.services.ledger.reference_log import Fetch, LogRefused, download

BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Books]:
    with builders.running(f"sqlite:///{tmp_path_factory.mktemp('ledger') / 'sparks.db'}") as books:
        grow(books, 258)
        yield books


@pytest.fixture(scope="module")
def http(books: Books) -> Iterator[httpx.Client]:
    with served(application(books.ledger, books.queries)) as url, httpx.Client(base_url=url) as client:
        yield client


def grow(books: Books, size: int) -> None:
    """Make the log as long as this, in one batch."""
    missing = range(books.queries.head().size, size)
    first_s = START_S // HOUR_S * HOUR_S
    signals = [PublishSignal(first_s + index * HOUR_S, 40) for index in missing]
    books.accept(*(builders.request(signal) for signal in signals))


# The public log


def test_the_checkpoint_is_text_that_caches_keep_for_seconds(http: httpx.Client) -> None:
    response = http.get("/log/checkpoint")

    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert response.headers["cache-control"] == "public, max-age=1"
    assert response.text.split("\n")[:2] == [LOG_KEY.name, "258"]


@pytest.mark.parametrize(
    "path",
    [
        "0/000",
        "0/000.p/1",
        "0/000.p/255",
        "0/001.p/2",
        "1/000.p/1",
        "entries/000",
        "entries/000.p/7",
        "entries/001.p/2",
    ],
)
def test_a_tile_under_the_checkpoint_is_bytes_that_never_change(http: httpx.Client, path: str) -> None:
    response = http.get(f"/log/tile/{path}")

    assert response.status_code == 200
    assert response.headers["content-type"] == "application/octet-stream"
    assert response.headers["cache-control"] == "public, max-age=31536000, immutable"


@pytest.mark.parametrize(
    "path",
    [
        *("0/001", "0/001.p/3", "0/002.p/1", "1/000", "1/000.p/2", "2/000.p/1", "entries/001", "entries/001.p/3"),
        *("0/0", "00/000", "0/000.p/0", "0/000.p/256", "0/000.p/01", "0/x000/000", "64/000.p/1", "-1/000", "0/000/"),
        *("data/000", "entries", "", "0/000.p/", "0/%2e%2e/000", "0/\u0660\u0660\u0660"),
    ],
)
def test_a_tile_beyond_the_checkpoint_or_by_another_spelling_is_not_there(http: httpx.Client, path: str) -> None:
    response = http.get(f"/log/tile/{path}")

    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"


def test_the_keys_are_the_log_s_and_no_member_s(http: httpx.Client) -> None:
    response = http.get("/log/keys")

    assert response.text == f"{LOG_KEY.text()}\nquorum 0\n"


def test_a_proof_verifies_without_the_platform(books: Books, http: httpx.Client) -> None:
    response = http.get("/v1/entries/257/proof")

    (entry,) = books.queries.entries(257, 1)
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert proofs.verify(response.text, entry, LOG_KEY, [], 0)


@pytest.mark.parametrize("index", ["258", "-1", "01", "+1", "1.0", "x", "9" * 30])
def test_there_is_no_proof_of_what_is_no_entry(http: httpx.Client, index: str) -> None:
    assert http.get(f"/v1/entries/{index}/proof").status_code == 404


# An independent client of the log


def fetch_from(http: httpx.Client, spoilt: str = "", place: float = 0.0) -> Fetch:
    """Fetch below `/log/`; in the resource `spoilt` one byte is changed, at this part of its length."""

    def fetch(path: str) -> bytes:
        response = http.get(f"/log/{path}")
        if response.status_code != 200:
            raise LogRefused(f"{path} is not served")
        body = bytearray(response.content)
        if path == spoilt:
            body[int(place * (len(body) - 1))] ^= 1
        return bytes(body)

    return fetch


def test_an_independent_client_accepts_the_log_at_every_size_and_it_only_grows(sqlite_url: str) -> None:
    with builders.running(sqlite_url) as books, served(application(books.ledger, books.queries)) as url:
        seen: list[bytes] = []
        with httpx.Client(base_url=url) as client:
            for size in (1, 5, 255, 256, 257, 600):
                grow(books, size)

                entries = download(fetch_from(client))

                assert (len(entries), entries[: len(seen)]) == (size, seen)
                seen = entries


RESOURCES = [
    *("checkpoint", "keys", "tile/0/000", "tile/0/001.p/2", "tile/1/000.p/1"),
    *("tile/entries/000", "tile/entries/001.p/2"),
]


@pytest.mark.parametrize("place", [0.0, 0.3, 0.5, 0.8, 1.0])
@pytest.mark.parametrize("path", RESOURCES)
def test_an_independent_client_refuses_the_log_once_a_byte_is_changed(
    http: httpx.Client, path: str, place: float
) -> None:
    with pytest.raises(LogRefused):
        download(fetch_from(http, path, place))


# The internal calls


@pytest.mark.parametrize("shown", [{}, {"Authorization": "Bearer other"}, {"Authorization": f"Basic {TOKEN}"}])
def test_without_the_token_nothing_is_answered(http: httpx.Client, shown: dict[str, str]) -> None:
    response = http.post(wireform.PATH + "head", content=wireform.to_body([]), headers=shown)

    assert (response.status_code, response.json()["code"]) == (401, "unauthorized")


@pytest.mark.parametrize("body", [b"", b"\xff", b"\x01", wireform.to_body([b"no request"])])
def test_a_body_that_is_no_call_is_refused(http: httpx.Client, body: bytes) -> None:
    response = http.post(wireform.PATH + "submit", content=body, headers=BEARER)

    assert (response.status_code, response.json()["code"]) == (400, "malformed_body")


def test_there_are_no_other_calls(http: httpx.Client) -> None:
    response = http.post(wireform.PATH + "drop", content=wireform.to_body([]), headers=BEARER)

    assert response.status_code == 404


def test_the_api_description_has_the_log_and_not_the_internal_calls(http: httpx.Client) -> None:
    paths = http.get("/openapi.json").json()["paths"]

    assert "/log/checkpoint" in paths
    assert not [path for path in paths if path.startswith("/internal")]


def test_many_requests_are_answered_in_their_order(http: httpx.Client) -> None:
    asked = [builders.request(EnrollCustomer(f"many-{number}", "saver")) for number in (2, 0, 2, 1)]

    response = http.post(
        wireform.PATH + "submit", content=wireform.to_body(wireform.of_requests(asked)), headers=BEARER
    )

    indexes = [wireform.to_outcome(outcome).index for outcome in wireform.from_body(response.content)]  # type: ignore[union-attr]
    assert indexes[0] == indexes[2] < indexes[1] < indexes[3]


class Busy(LocalLedger):
    """A writer whose queue is full."""

    def submit(self, requests: Sequence[Request]) -> list[Outcome]:
        raise LedgerUnavailable("too many requests wait")


def test_a_full_queue_is_answered_at_once_with_when_to_come_again(books: Books) -> None:
    busy = Busy(books.writer, books.queries)
    with served(application(busy, books.queries)) as url:
        response = httpx.post(url + wireform.PATH + "submit", content=wireform.to_body([]), headers=BEARER)

    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
