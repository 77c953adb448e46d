"""A written history: nobody executed it, and every entry commits to its payload and is proved under the log's key."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from benchmarks import history
from benchmarks.history import History
from contracts.wire import signatures
from services import database
from services.database import reading
from services.ledger import entries, payloads, proofs
from services.ledger.entries import commitment
from services.ledger.notes import KeyType, VerifierKey
from services.ledger.queries import Queries
from tests.services.ledger.builders import IDENTITY, Home, fund, running


@pytest.fixture
def lived(postgres_url: str) -> Iterator[tuple[Engine, History]]:
    """A log with a home that has lived, and what continues it."""
    with running(postgres_url) as books:
        home = Home("model-0001", "model-0001")
        books.accept(fund())
        first = books.ledger.head().size
        books.accept(*home.joining(), *(home.record() for _ in range(7)))
        after = books.ledger.head().size
    engine = database.engine(postgres_url)
    life = history.life_of(engine, "model-0001", first=first, after=after)
    yield engine, History(engine, life, origin=IDENTITY.origin, programme="ontario", seed=IDENTITY.seed)
    engine.dispose()


def test_every_entry_commits_to_its_payload_and_is_proved(lived: tuple[Engine, History]) -> None:
    engine, past = lived

    past.fill(900, lambda _done, _total: None)

    queries = Queries(engine)
    size = queries.head().size
    log_key = VerifierKey(IDENTITY.origin, KeyType.ED25519, signatures.public_key_of(IDENTITY.seed))
    assert size >= 900
    with reading(engine) as session:
        told = payloads.between(session, 0, size)
    for index, leaf in enumerate(queries.entries(0, size)):
        entry, payload = entries.from_bytes(leaf), told[index]
        assert entry.command_commitment == commitment(payload.request_salt, payload.request)
        assert entry.effects_commitment == commitment(payload.effects_salt, payload.effects)
        if index % 50 == 0:
            assert proofs.verify(queries.proof(index) or "", leaf, log_key, [], 0)


def test_the_writer_goes_on_after_it(lived: tuple[Engine, History], postgres_url: str) -> None:
    engine, past = lived
    past.fill(500, lambda _done, _total: None)
    size = Queries(engine).head().size

    with running(postgres_url, migrate=False) as books:
        (accepted,) = books.accept(fund(77))

    assert accepted.index == size
    assert len(past.home_ids()) == len(set(past.home_ids())) > 0
