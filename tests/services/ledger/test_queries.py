"""What the log's face reads: tiles, bundles and proofs of committed entries, at a cost that history does not raise."""

import pytest
from sqlalchemy import text

from contracts.wire import signatures
from services import database
from services.ledger import checkpoints, merkle, notes, proofs, tiles
from services.ledger.client import LedgerUnavailable
from services.ledger.notes import KeyType, OpenedNote, VerifierKey
from services.ledger.queries import Queries
from tests.services.ledger.builders import IDENTITY, fund

LOG = VerifierKey(IDENTITY.origin, KeyType.ED25519, signatures.public_key_of(IDENTITY.seed))


@pytest.fixture
def filled(books):
    """A log of 301 entries: one full tile and a partial one."""
    books.accept(*(fund(cents) for cents in range(1, 301)))
    return books


def test_the_newest_checkpoint_is_signed_by_the_log(filled):
    opened = notes.open_note(filled.queries.checkpoint(), [LOG])

    assert isinstance(opened, OpenedNote)
    checkpoint = checkpoints.parse(opened.text)
    assert checkpoint is not None
    leaves = [merkle.leaf_hash(entry) for entry in filled.queries.entries(0, 400)]
    assert (checkpoint.origin, checkpoint.size, checkpoint.root) == (LOG.name, 301, merkle.root_hash(leaves))


def test_every_tile_that_the_checkpoint_needs_is_there(filled):
    for level in tiles.required(301).levels:
        for n in range(level.full_tiles):
            assert len(filled.queries.tile(level.level, n, 256)) == 256 * 32
        if level.partial_width:
            assert (
                len(filled.queries.tile(level.level, level.full_tiles, level.partial_width)) == level.partial_width * 32
            )


def test_a_tile_that_is_not_there_or_not_so_wide_is_none(filled):
    assert filled.queries.tile(0, 1, 46) is None
    assert filled.queries.tile(0, 2, 1) is None
    assert filled.queries.tile(5, 0, 1) is None


def test_entries_are_read_from_a_place_on(filled):
    assert len(filled.queries.entries(256, 256)) == 45
    assert filled.queries.entries(300, 5) == filled.queries.entries(0, 301)[300:]
    assert filled.queries.entries(301, 5) == []


@pytest.mark.parametrize("index", [0, 1, 255, 256, 300])
def test_a_proof_verifies_without_this_platform(filled, index):
    (entry,) = filled.queries.entries(index, 1)

    assert proofs.verify(filled.queries.proof(index), entry, LOG, [], 0)
    assert not proofs.verify(filled.queries.proof(index), entry + b"x", LOG, [], 0)


def test_what_is_not_in_the_tree_has_no_proof(filled):
    assert filled.queries.proof(301) is None
    assert filled.queries.proof(-1) is None


def test_a_ledger_that_was_never_opened_is_not_available(database_url):
    database.migrate(database_url)
    engine = database.engine(database_url)

    with pytest.raises(LedgerUnavailable, match="opened"):
        Queries(engine).head()
    engine.dispose()


@pytest.mark.parametrize(
    "query",
    [
        'SELECT DISTINCT "index" FROM postings WHERE account = \'a\' AND "index" < 9 ORDER BY "index" DESC LIMIT 5',
        "SELECT key, value FROM state WHERE key >= 'unit/' AND key > '' AND key < 'unit0' ORDER BY key LIMIT 5",
        "SELECT \"index\" FROM packs WHERE device_id = 'unit-1' AND start_s > 5 AND start_s < 10 ORDER BY start_s",
        "SELECT key FROM state WHERE due_s <= 5 ORDER BY due_s LIMIT 5",
    ],
)
def test_a_query_reads_an_index_and_never_the_whole_table(postgres_url, query):
    database.migrate(postgres_url)
    engine = database.engine(postgres_url)
    with database.transaction(engine) as session:
        session.execute(text("SET LOCAL enable_seqscan = off"))
        session.execute(text("SET LOCAL enable_bitmapscan = off"))
        plan = "\n".join(line for (line,) in session.execute(text(f"EXPLAIN {query}")))

    assert "Index" in plan
    assert "Seq Scan" not in plan
    assert "Sort" not in plan
    engine.dispose()
