"""`sparks bench ledger`: the writer alone, fed with prepared packs; then the log proved, read, executed again, copied.

Without broker, ingestion and HTTP: what the ledger's one thread and its database do by themselves. Durable commits.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from itertools import islice
from multiprocessing import get_context
from random import Random
from typing import Any, Final

import psutil
from sqlalchemy import Engine

from benchmarks import archive, fleet, history
from benchmarks.history import History, Life
from benchmarks.passage import start_s
from benchmarks.servers import postgres
from benchmarks.stand import StandFailed
from benchmarks.watch import MB, percentile_ms
from contracts import accounts, commands, programmes, state
from contracts.commands import ClaimUnit, Command, DepositReserve, EnrollCustomer, Request
from contracts.effects import Asset
from contracts.wire import packs, signatures
from services import database
from services.clock import SystemClock
from services.ledger import deliveries
from services.ledger.client import Accepted
from services.ledger.copies import Sent
from services.ledger.copying import Copyist
from services.ledger.delivering import page_of
from services.ledger.opening import LogIdentity
from services.ledger.queries import Queries
from services.ledger.verify import verify
from services.ledger.writer import BATCH_MAX, Writer

SEED: Final = bytes(range(32))
AHEAD: Final = 4
"""Batches that wait at the writer, so that it never waits for us."""
READS: Final = 2_000
ORIGIN: Final = "sparks.example/bench"
RSS_READINGS: Final = 10
MODEL_NAME: Final = "model"
MODEL_PACKS: Final = 97
"""With the three entries by which it is registered, the home whose life is written again has a hundred."""
Progress = Callable[[str, int, int], None]


def bench(*, units: int, packs_each: int, on_progress: Progress) -> dict[str, Any]:
    """Figures a second and waits in milliseconds, on PostgreSQL with synchronous commit."""
    on_progress("signing packs", 0, 1)
    homes = fleet.units(units)
    messages = list(fleet.messages(homes, packs_each=packs_each, intervals=1, start_s=start_s()))
    on_progress("signing packs", 1, 1)
    with _ledger() as url, _engine(url) as engine:
        with _writing(engine) as writer:
            _ask(writer, _requests(_enrolments(homes)), "registering units", on_progress)
            append_per_s = _append(writer, messages, on_progress)
        queries = Queries(engine)
        figures = {
            "entries": queries.head().size,
            "append_per_s": append_per_s,
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
        with _ledger() as copy_url, _engine(copy_url) as copy_engine:
            figures["copy_per_s"] = _copy(engine, copy_engine, on_progress)
        now_s = SystemClock().now_s()
        figures |= archive.measured(url, report.size, now_s, lambda done, total: on_progress("archiving", done, total))
    return figures


def bench_history(
    sizes: Sequence[int], *, units: int, packs_each: int, on_progress: Progress
) -> dict[str, dict[str, Any]]:
    """The same log at several sizes, one after the other: what an append, a proof, a balance and a restart cost.

    `packs_each` packs of each unit are appended at every size. What lies between is written by `history`.
    """
    on_progress("signing packs", 0, 1)
    homes = fleet.units(units)
    messages = list(fleet.messages(homes, packs_each=packs_each * len(sizes), intervals=1, start_s=start_s()))
    on_progress("signing packs", 1, 1)
    figures: dict[str, dict[str, Any]] = {}
    with _ledger() as url, _engine(url) as engine:
        with _writing(engine) as writer:
            _ask(writer, _requests(_enrolments(homes)), "registering units", on_progress)
        past = History(engine, _one_life(engine, on_progress), origin=ORIGIN, programme="ontario", seed=SEED)
        for place, size in enumerate(sizes):
            past.fill(size, lambda done, total: on_progress("writing history", done, total))
            part = messages[place * packs_each * units : (place + 1) * packs_each * units]
            known = Random(size).choices([home.device_id for home in homes] + past.home_ids(), k=min(READS, size))
            engine.dispose()
            on_progress("measuring", 0, 1)
            # A process of its own, so that its memory is the ledger's and not that of what wrote the history.
            with ProcessPoolExecutor(1, get_context("spawn")) as alone:
                figures[f"{size}"] = alone.submit(_measured, url, part, known).result()
            figures[f"{size}"]["database_mb"] = history.size_mb(engine)
            on_progress("measuring", 1, 1)
    return figures


def _one_life(engine: Engine, on_progress: Progress) -> Life:
    """Have a home live for a hundred entries, and read them."""
    (home,) = fleet.units(1, name=MODEL_NAME)
    joins, first = _enrolments([home])[1:], Queries(engine).head().size
    packs_of_it = list(fleet.messages([home], packs_each=MODEL_PACKS, intervals=1, start_s=start_s()))
    with _writing(engine) as writer:
        # Other ids than those of the fleet: the same ones would be the same requests.
        _ask(writer, _requests(joins, name=MODEL_NAME), "registering units", on_progress)
        _append(writer, packs_of_it, on_progress, name=MODEL_NAME)
    return history.life_of(engine, home.device_id, first=first, after=first + len(joins) + MODEL_PACKS)


def _measured(url: str, messages: list[tuple[str, bytes]], customers: Sequence[str]) -> dict[str, Any]:
    """What things cost now, and what the ledger takes."""
    with _engine(url) as engine:
        began_s = time.perf_counter()
        with _writing(engine) as writer:
            restart_s = time.perf_counter() - began_s
            append_per_s = _append(writer, messages, _silently, name=messages[0][1].hex())
        history.stop_vacuum(engine)
        queries = Queries(engine)
        size = queries.head().size
        balances = [state.account_key(Asset.SPARK, accounts.customer(name)) for name in customers]
        return {
            "entries": size,
            "restart_ms": round(restart_s * 1_000),
            "append_per_s": append_per_s,
            **_asked(engine, "prove", _indexes(size), queries.proof),
            **_asked(engine, "balance", balances, lambda key: queries.rows([key])),
            "rss_mb": _rss_mb(),
        }


def _asked(engine: Engine, name: str, asked: Sequence[Any], ask: Callable[[Any], Any]) -> dict[str, float]:
    """Waits, and the pages of the database that a question looks into: those do not depend on who else is at work."""
    before = history.pages_read(engine)
    waits = _waits(name, asked, ask, _silently)
    return {**waits, f"{name}_pages": round((history.pages_read(engine) - before) / len(asked), 1)}


def bench_memory(entries: int, *, units: int, on_progress: Progress) -> dict[str, Any]:
    """Resident memory of the writer's process, at RSS_READINGS moments while it appends so many entries."""
    homes = fleet.units(units)
    packs_each = -(-entries // units)
    messages = fleet.messages(homes, packs_each=packs_each, intervals=1, start_s=start_s() - packs_each * 300)
    rss_mb: dict[int, int] = {}
    with _ledger() as url, _engine(url) as engine, _writing(engine) as writer:
        _ask(writer, _requests(_enrolments(homes)), "registering units", on_progress)
        part_of = -(-packs_each * units // RSS_READINGS)
        for place in range(RSS_READINGS):
            part = islice(messages, part_of)
            while batch := list(islice(part, AHEAD * BATCH_MAX)):
                _ask(writer, _requests(_records(batch), name=batch[0][1].hex()), "", _silently)
            on_progress("appending", place + 1, RSS_READINGS)
            rss_mb[Queries(engine).head().size] = _rss_mb()
    return {"rss_mb_at": rss_mb}


def _rss_mb() -> int:
    """Of this process alone: the database's server is a child of it here."""
    return int(psutil.Process().memory_info().rss) // MB


def _silently(_what: str, _done: int, _total: int) -> None:
    pass


@contextmanager
def _ledger() -> Iterator[str]:
    """The URL of an empty database with its tables."""
    with postgres() as server, server.fresh_database() as url:
        database.migrate(url)
        yield url


@contextmanager
def _engine(url: str) -> Iterator[Engine]:
    engine = database.engine(url)
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def _writing(engine: Engine) -> Iterator[Writer]:
    writer = Writer(engine, LogIdentity(origin=ORIGIN, seed=SEED), SystemClock())
    writer.start()
    try:
        yield writer
    finally:
        writer.stop()


def _append(writer: Writer, messages: list[tuple[str, bytes]], on_progress: Progress, *, name: str = "") -> int:
    """Entries appended a second."""
    # As they come off the wire: a request is read from its bytes before it is executed.
    written = [commands.to_bytes(request) for request in _requests(_records(messages), name=name)]
    began_s = time.perf_counter()
    _ask(writer, [commands.from_bytes(data) for data in written], "appending", on_progress)
    return round(len(messages) / (time.perf_counter() - began_s))


def _copy(engine: Engine, copy_engine: Engine, on_progress: Progress) -> int:
    """Entries a second that a member of all collections checks, executes and commits, from pages as they are sent."""
    queries = Queries(engine)
    size = queries.head().size
    sent: list[tuple[list[bytes], bytes]] = []
    first = 0
    while first < size:
        with database.reading(engine) as session:
            page = page_of(session, first, None)
        sent.append((queries.entries(first, page.after - first), deliveries.to_bytes(page)))
        first = page.after
    copy = Copyist(copy_engine, programme=programmes.load().name)
    try:
        began_s = time.perf_counter()
        for leaves, data in sent:
            page = deliveries.from_bytes(data)
            copy.copy([Sent(leaf, page.payloads[page.first + place]) for place, leaf in enumerate(leaves)])
            on_progress("copying", page.after, size)
        copy.finish()
        return round(size / (time.perf_counter() - began_s))
    finally:
        copy.close()


def _enrolments(homes: list[fleet.BenchUnit]) -> list[Command]:
    enrolled: list[Command] = [DepositReserve(10**16, "bench")]
    enrolled += [EnrollCustomer(home.device_id, "saver") for home in homes]
    enrolled += [home.registration() for home in homes]
    return [*enrolled, *(ClaimUnit(home.device_id, home.claim_hash) for home in homes)]


def _records(messages: list[tuple[str, bytes]]) -> list[Command]:
    return [commands.RecordPack(device_id, message) for device_id, message in messages]


def _requests(asked: Sequence[Command], *, name: str = "") -> list[Request]:
    ids = (
        packs.message_hash(place.to_bytes(8, "big") + command.KIND.encode() + name.encode())
        for place, command in enumerate(asked)
    )
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
    return Random(size).choices(range(size), k=min(READS, size))


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
