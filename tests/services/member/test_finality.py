"""A checkpoint becomes final when enough members have executed it and signed it; until then the log just goes on."""

import hashlib
from collections.abc import Iterator
from concurrent.futures import wait
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from sqlalchemy import update

from contracts.commands import EnrollCustomer
from contracts.wire import signatures
from services.ledger import notes, proofs
from services.ledger.finality import Collector
from services.ledger.members import Members
from services.ledger.notes import OpenedNote
from services.ledger.tables import COSIGNATURES
from services.receipts import document, keyring
from services.receipts.checks import Untrue
from services.receipts.verification import verify
from tests.services.ledger.builders import Books, fund, request, running
from tests.services.ledger.http_ledger import LOG_KEY
from tests.services.member import stage

SEEDS = {name: hashlib.sha256(name.encode()).digest() for name in ("hydro", "interlink")}
ROLES = {"hydro": "auditor", "interlink": "network"}
"""One has executed everything, and one what it was given; the quorum counts both."""
COSIGN_NAMES = {"hydro": "hydro.example/all", "interlink": "interlink.example/given"}
S_MAX = 30


@dataclass
class Consortium:
    """An operator and two members that keep copies; nobody signs unless `collect` asks."""

    books: Books
    url: str
    collector: Collector
    nodes: dict[str, stage.MemberNode]
    leaving: dict[str, ExitStack]

    def collect(self) -> None:
        wait(self.collector.collect(), S_MAX)

    def published(self) -> OpenedNote:
        keys = [notes.parse_vkey(line) for line in httpx.get(f"{self.url}/log/keys").text.splitlines()[:-1]]
        opened = notes.open_note(httpx.get(f"{self.url}/log/checkpoint").content, [key for key in keys if key])
        assert isinstance(opened, OpenedNote)
        return opened

    def signers(self) -> set[str]:
        return {signature.key.name for signature in self.published().signatures}


@pytest.fixture
def consortium(tmp_path: Path, database_url: str) -> Iterator[Consortium]:
    with running(database_url) as books, stage.operator(books) as url, ExitStack() as stack:
        nodes: dict[str, stage.MemberNode] = {}
        leaving: dict[str, ExitStack] = {}
        approved_by: dict[str, bytes] = {}
        for name, seed in SEEDS.items():
            leaving[name] = stack.enter_context(ExitStack())
            own_url = f"sqlite:///{tmp_path / name}.db"
            is_given = ROLES[name] == "network"
            node = leaving[name].enter_context(stage.member(own_url, url, who=name, seed=seed, is_given=is_given))
            nodes[name] = node
            stage.admit(books, name, node.url, seed, approved_by=dict(approved_by), role=ROLES[name])
            approved_by[name] = seed
        stage.set_quorum(books, 2, serial=2, approved_by=approved_by)
        members = Members(books.queries, books.clock.now_s)
        collector = Collector(books.engine, books.queries, members, LOG_KEY)
        yield Consortium(books, url, collector, nodes, leaving)
        collector.stop()


def test_with_a_quorum_the_published_checkpoint_bears_the_members_signatures(consortium: Consortium):
    assert consortium.signers() == {LOG_KEY.name}

    consortium.collect()

    assert consortium.signers() == {LOG_KEY.name, *COSIGN_NAMES.values()}
    assert httpx.get(f"{consortium.url}/log/keys").text.endswith("quorum 2\n")


def test_the_proof_of_an_entry_shows_that_it_is_final(consortium: Consortium):
    consortium.collect()
    consortium.books.accept(fund(3))

    proof = httpx.get(f"{consortium.url}/v1/entries/2/proof").text
    members = [stage_key(name) for name in SEEDS]

    (entry,) = consortium.books.queries.entries(2, 1)
    assert proofs.verify(proof, entry, LOG_KEY, members, 2)


def test_a_receipt_satisfies_who_trusts_the_members_as_soon_as_it_is_final(consortium: Consortium):
    (joined,) = consortium.books.accept(request(EnrollCustomer("ann", "saver")))
    trusted = keyring.parse(httpx.get(f"{consortium.url}/log/keys").text)

    with pytest.raises(Untrue, match="0 members co-signed the checkpoint, and 2 must"):
        verify(receipt_of(consortium.books, joined.index), trusted)
    consortium.collect()

    receipt = receipt_of(consortium.books, joined.index)
    assert "and 2 members" in verify(receipt, trusted).sentences[0]
    assert verify(receipt).index == joined.index


def receipt_of(books: Books, index: int) -> dict[str, object]:
    evidence = books.ledger.evidence(index)
    assert evidence is not None
    keys = keyring.naming(LOG_KEY, evidence.checkpoint, map(stage_key, SEEDS)).text()
    return document.issue(evidence, books.queries.sets, customer_id="ann", keys=keys)


def test_each_round_goes_on_from_what_was_signed_before(consortium: Consortium):
    consortium.collect()
    consortium.books.accept(*(fund(cents) for cents in range(10, 20)))
    consortium.collect()

    final = consortium.books.queries.final()
    assert final is not None
    assert final.size == consortium.books.queries.size()


def test_a_member_that_is_gone_delays_finality_and_never_the_log(consortium: Consortium):
    consortium.collect()
    consortium.leaving["interlink"].close()
    before = consortium.books.queries.final()

    consortium.books.accept(fund(9))
    consortium.collect()

    assert consortium.books.queries.final() == before
    consortium.books.clock.advance_to(consortium.books.clock.now_s() + 60)
    assert consortium.published().text == consortium.books.queries.checkpoint().decode().partition("\n\n")[0] + "\n"


def test_members_whose_clocks_are_ahead_hold_back_nobody_who_follows(consortium: Consortium):
    consortium.collect()
    with consortium.books.engine.begin() as connection:
        connection.execute(update(COSIGNATURES).values(time_s=COSIGNATURES.c.time_s + 100_000))
    assert len(consortium.signers()) > 1  # as long as nothing newer is there

    consortium.books.accept(fund(9))

    assert consortium.published().text == consortium.books.queries.checkpoint().decode().partition("\n\n")[0] + "\n"


def stage_key(name: str) -> notes.VerifierKey:
    public_key = signatures.public_key_of(stage.cosign_seed(SEEDS[name]))
    return notes.VerifierKey(COSIGN_NAMES[name], notes.KeyType.COSIGNATURE, public_key)
