"""`sparks bench ledger`: the writer alone, fed with prepared packs; then the same log executed again, proved and read.

Without broker, ingestion and HTTP: what the ledger's one thread and its database do by themselves. Durable commits.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Final

from benchmarks import fleet
from benchmarks.passage import start_s
from benchmarks.servers import postgres
from benchmarks.stand import StandFailed
from benchmarks.watch import percentile_ms
from contracts import accounts, commands, state
from contracts.commands import ClaimUnit, Command, DepositReserve, EnrollCustomer, Request
from contracts.effects import Asset
from contracts.wire import packs, signatures
from services import database
from services.clock import SystemClock
from services.ledger.client import Accepted
from services.ledger.opening import LogIdentity
from services.ledger.queries import Queries
from services.ledger.verify import verify
from services.ledger.writer import BATCH_MAX, Writer

SEED: Final = bytes(range(32))
AHEAD: Final = 4
"""Batches that wait at the writer, so that it never waits for us."""
READS: Final = 1_000
Progress = Callable[[str, int, int], None]


def bench(*, units: int, packs_each: int, on_progress: Progress) -> dict[str, Any]:
    """Figures a second and waits in milliseconds, on PostgreSQL with synchronous commit."""
    on_progress("signing packs", 0, 1)
    homes = fleet.units(units)
    messages = fleet.messages(homes, packs_each=packs_each, intervals=1, start_s=start_s())
    on_progress("signing packs", 1, 1)
    with postgres() as server, server.fresh_database() as url:
        database.migrate(url)
        engine = database.engine(url)
        writer = Writer(engine, LogIdentity(origin="sparks.example/bench", seed=SEED), SystemClock())
        writer.start()
        try:
            _ask(writer, _requests(_enrolments(homes)), "registering units", on_progress)
            # As they come off the wire: a request is read from its bytes before it is executed.
            written = [commands.to_bytes(request) for request in _requests(_records(messages))]
            began_s = time.perf_counter()
            requests = [commands.from_bytes(data) for data in written]
            _ask(writer, requests, "appending", on_progress)
            append_s = time.perf_counter() - began_s
        finally:
            writer.stop()
        queries = Queries(engine)
        figures = {
            "entries": queries.head().size,
            "append_per_s": round(len(messages) / append_s),
            **_waits("prove", _indexes(queries.head().size), queries.proof, on_progress),
            **_waits("balance", _accounts(homes), lambda key: queries.rows([key]), on_progress),
        }
        began_s = time.perf_counter()
        report = verify(
            engine, signatures.public_key_of(SEED), lambda done, total: on_progress("re-executing", done, total)
        )
        if not report.ok:
            raise StandFailed(f"the log does not verify: {report.findings[0]}")
        figures["reexecute_per_s"] = round(report.size / (time.perf_counter() - began_s))
        engine.dispose()
    return figures


def _enrolments(homes: list[fleet.BenchUnit]) -> list[Command]:
    enrolled: list[Command] = [DepositReserve(10**16, "bench")]
    enrolled += [EnrollCustomer(home.device_id, "saver") for home in homes]
    enrolled += [home.registration() for home in homes]
    return [*enrolled, *(ClaimUnit(home.device_id, home.claim_hash) for home in homes)]


def _records(messages: list[tuple[str, bytes]]) -> list[Command]:
    return [commands.RecordPack(device_id, message) for device_id, message in messages]


def _requests(asked: Sequence[Command]) -> list[Request]:
    ids = (packs.message_hash(place.to_bytes(8, "big") + command.KIND.encode()) for place, command in enumerate(asked))
    return [Request(id, id, command) for id, command in zip(ids, asked, strict=True)]


def _ask(writer: Writer, requests: Sequence[Request], what: str, on_progress: Progress) -> None:
    """Have all of them accepted, a few batches ahead."""
    waiting: deque[Any] = deque()
    for first in range(0, len(requests), BATCH_MAX):
        waiting.append(writer.ask(requests[first : first + BATCH_MAX]))
        if len(waiting) == AHEAD:
            _check(waiting.popleft().result())
            on_progress(what, first, len(requests))
    for last in waiting:
        _check(last.result())
    on_progress(what, len(requests), len(requests))


def _check(outcomes: list[Any]) -> None:
    for outcome in outcomes:
        if not isinstance(outcome, Accepted):
            raise StandFailed(f"the ledger answered {outcome}")


def _indexes(size: int) -> list[int]:
    return Random(size).choices(range(size), k=READS)


def _accounts(homes: list[fleet.BenchUnit]) -> list[str]:
    chosen = Random(len(homes)).choices(homes, k=READS)
    return [state.account_key(Asset.SPARK, accounts.customer(home.device_id)) for home in chosen]


def _waits(name: str, asked: Sequence[Any], ask: Callable[[Any], Any], on_progress: Progress) -> dict[str, float]:
    """How long each question takes, one after another."""
    waits_s = []
    for question in asked:
        began_s = time.perf_counter()
        ask(question)
        waits_s.append(time.perf_counter() - began_s)
    on_progress(name, len(asked), len(asked))
    return {f"{name}_p{percent}_ms": percentile_ms(sorted(waits_s), percent) for percent in (50, 99)}
