"""`sparks bench ingest`: signed packs a second, from publish to ledger, beside the bare ceiling of the same run."""

import os
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import psycopg

from benchmarks import fleet, passage, publisher, stand
from benchmarks.fleet import BenchUnit
from benchmarks.passage import Messages
from benchmarks.servers import Mosquitto, Postgres, mosquitto, postgres
from contracts.commands import ClaimUnit, DepositReserve, EnrollCustomer
from services.ledger.remote import RemoteLedger

# The load waits in the broker while it is being worked off; nothing of it may be dropped there.
BROKER_CONFIG: Final = "max_queued_messages 0\nmax_inflight_messages 1000\n"
CEILING_MESSAGES: Final = 30_000
PROBES: Final = 2_000


def bench(*, units: int, packs_each: int, intervals: int) -> dict[str, Any]:
    """The figures of interfaces.md 5."""
    bench_fleet = fleet.units(units)
    start_s = passage.start_s()
    messages = list(fleet.messages(bench_fleet, packs_each=packs_each, intervals=intervals, start_s=start_s))
    with tempfile.TemporaryDirectory() as name, mosquitto(BROKER_CONFIG) as broker, postgres() as database:
        folder = Path(name)
        loops = [stand.module("ceiling", broker.port, units) for _ in range(os.cpu_count() or 1)]
        load = publisher.load_of(messages[:CEILING_MESSAGES])
        ceiling = passage.ceiling_per_s(loops, load, folder=folder, mqtt_port=broker.port)
        figures = _platform_figures(folder, broker, database, bench_fleet, messages)
    return {**figures, "ceiling_per_s": ceiling}


def _platform_figures(
    folder: Path, broker: Mosquitto, database: Postgres, bench_fleet: list[BenchUnit], messages: Messages
) -> dict[str, Any]:
    data_dir = folder / "data"
    probe_units = fleet.units(PROBES, name="probe")
    probe_messages = list(fleet.messages(probe_units, packs_each=1, intervals=1, start_s=passage.start_s()))
    with database.fresh_database() as url:
        settings = {
            "SPARKS_DATA_DIR": str(data_dir),
            "SPARKS_DATABASE_URL": url,
            "SPARKS_BROKER_URL": f"mqtt://127.0.0.1:{broker.port}",
        }
        with (
            stand.services(["ledger", "ingestion"], settings) as running,
            closing(stand.ledger_of(running["ledger"], data_dir)) as ledger,
        ):
            _register(ledger, [*bench_fleet, *probe_units])
            pids = {name: service.process.pid for name, service in running.items()}
            platform = passage.Platform(
                folder=folder,
                mqtt_port=broker.port,
                logins=None,
                ledger=ledger,
                pids=pids | {"mosquitto": broker.server.pid, "postgres": database.server.pid},
                stored_bytes=lambda: database_bytes(url),
            )
            return passage.figures(platform, messages, probe_messages, units=len(bench_fleet))


def _register(ledger: RemoteLedger, bench_fleet: list[BenchUnit]) -> None:
    stand.ask_all(ledger, [DepositReserve(10**16, "bench")])
    stand.ask_all(ledger, [EnrollCustomer(unit.device_id, "saver") for unit in bench_fleet])
    stand.ask_all(ledger, [unit.registration() for unit in bench_fleet])
    stand.ask_all(ledger, [ClaimUnit(unit.device_id, unit.claim_hash) for unit in bench_fleet])


def database_bytes(url: str) -> int:
    """How large the database is on disk."""
    with psycopg.connect(url.replace("postgresql+psycopg://", "postgresql://"), autocommit=True) as connection:
        row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    return int(row[0]) if row else 0
