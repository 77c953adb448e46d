"""The witness against requests and answers made by an independent implementation (standards.md 1.6)."""

from collections.abc import Iterator
from itertools import count

import httpx
import pytest

from services import database
from services.ledger import notes
from services.ledger.notes import OpenedNote, VerifierKey
from services.member.app import witness_router
from services.member.memory import Cosigned, Memory
from services.member.witness import Agreement, Witness
from tests.services.ledger.http_ledger import serving_routers
from tests.services.ledger.tlog_vectors import vectors

VECTORS = vectors("witness")


def _key(name: str) -> VerifierKey:
    key = notes.parse_vkey(VECTORS[name])
    assert key is not None
    return key


LOG_KEY, WITNESS_KEY = _key("log_vkey"), _key("witness_vkey")


def a_witness(memory: Memory, agreement: Agreement = Agreement.AGREES) -> Witness:
    times = count(1_767_225_610, 10)
    seed = bytes.fromhex(VECTORS["witness_seed"])
    return Witness(
        memory,
        log_key=LOG_KEY,
        name=WITNESS_KEY.name,
        seed=seed,
        now_s=lambda: next(times),
        agreement=lambda said, note: agreement,
    )


@pytest.fixture
def memory(database_url: str) -> Iterator[Memory]:
    database.migrate(database_url)
    engine = database.engine(database_url)
    yield Memory(engine)
    engine.dispose()


def test_every_request_is_answered_as_the_vectors_say(memory: Memory):
    with serving_routers(witness_router(memory, a_witness(memory), LOG_KEY.name)) as url:
        for step in VECTORS["steps"]:
            answer = httpx.post(f"{url}/add-checkpoint", content=step["body"].encode())

            assert answer.status_code == step["status"], step["why"]
            if step["content_type"]:
                assert answer.headers["content-type"] == step["content_type"]
                assert answer.text == step["response"]
            if step["status"] == 200:
                text = step["body"].partition("\n\n")[2].rpartition("\n\n")[0] + "\n"
                opened = notes.open_note(f"{text}\n{answer.text}".encode(), [WITNESS_KEY])
                assert isinstance(opened, OpenedNote)
            assert _size(memory, LOG_KEY.name) == step["size_after"]

        kept = httpx.get(f"{url}/{VECTORS['monitoring_path']}")
        opened = notes.open_note(kept.content, [LOG_KEY, WITNESS_KEY])
        assert isinstance(opened, OpenedNote)
        assert {found.key for found in opened.signatures} == {LOG_KEY, WITNESS_KEY}


@pytest.mark.parametrize(("agreement", "status"), [(Agreement.BEHIND, 503), (Agreement.REFUSED, 422)])
def test_nothing_is_signed_that_is_not_executed_here(memory: Memory, agreement: Agreement, status: int):
    answer = a_witness(memory, agreement).add(VECTORS["steps"][0]["body"].encode())

    assert answer.status == status
    assert memory.cosigned(LOG_KEY.name) is None


def test_two_histories_are_never_signed_whoever_asks_at_the_same_time(memory: Memory):
    first, second = memory.cosigned("x"), memory.cosigned("x")

    assert memory.sign("x", first, Cosigned(3, b"a" * 32, b"note"))
    assert not memory.sign("x", second, Cosigned(4, b"b" * 32, b"other"))
    assert _size(memory, "x") == 3


def _size(memory: Memory, origin: str) -> int:
    found = memory.cosigned(origin)
    return found.size if found else 0
