"""`sparks bench ingest`: signed packs a second, from publish to ledger, beside the bare ceiling of the same run."""

import os
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Final, TypeAlias

import psycopg
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks import fleet, publisher, stand
from benchmarks.fleet import BenchUnit
from benchmarks.servers import Mosquitto, Postgres, mosquitto, postgres
from benchmarks.watch import Watch, percentile_ms
from contracts.commands import ClaimUnit, DepositReserve, EnrollCustomer
from contracts.units import HOUR_S
from services.ledger.remote import RemoteLedger

# The load waits in the broker while it is being worked off; nothing of it may be dropped there.
BROKER_CONFIG: Final = "max_queued_messages 0\nmax_inflight_messages 1000\n"
Messages: TypeAlias = list[tuple[str, bytes]]
CEILING_MESSAGES: Final = 30_000
PROBES: Final = 2_000
PROBE_EVERY_S: Final = 0.02
AGE_S: Final = 20 * 24 * HOUR_S
"""How long ago the packs were measured: they may be up to 30 days late."""


def bench(*, units: int, packs_each: int, intervals: int) -> dict[str, Any]:
    """The figures of interfaces.md 5: rates at full speed, waits at half of it."""
    bench_fleet = fleet.units(units)
    messages = fleet.messages(bench_fleet, packs_each=packs_each, intervals=intervals, start_s=_start_s())
    with tempfile.TemporaryDirectory() as name, mosquitto(BROKER_CONFIG) as broker, postgres() as database:
        folder = Path(name)
        ceiling = _ceiling(folder, broker, messages[:CEILING_MESSAGES], units)
        figures = _platform_figures(folder, broker, database, bench_fleet, messages)
    return {**figures, "ceiling_per_s": ceiling}


def _ceiling(folder: Path, broker: Mosquitto, messages: Messages, units: int) -> int:
    """Messages a second that as many bare loops as there are cores receive and verify."""
    path = folder / "ceiling.load"
    publisher.write_load(path, publisher.load_of(messages))
    loops = [stand.module("ceiling", broker.port, units) for _ in range(os.cpu_count() or 1)]
    for loop in loops:
        stand.json_line(loop)
    sender = stand.module("publisher", path, broker.port, 0)
    found = [stand.json_line(loop) for loop in loops]
    for process in (*loops, sender):
        process.communicate()
    seconds: float = max(one["last_s"] for one in found) - min(one["first_s"] for one in found)
    return round(sum(int(one["count"]) for one in found) / seconds)


def _platform_figures(
    folder: Path, broker: Mosquitto, database: Postgres, bench_fleet: list[BenchUnit], messages: Messages
) -> dict[str, Any]:
    """Two thirds of the packs at full speed, the rest at half of the rate found."""
    data_dir, start_s = folder / "data", _start_s()
    full, half = messages[: _two_thirds(messages, bench_fleet)], messages[_two_thirds(messages, bench_fleet) :]
    with database.fresh_database() as url:
        settings = {
            "SPARKS_DATA_DIR": str(data_dir),
            "SPARKS_DATABASE_URL": url,
            "SPARKS_BROKER_URL": f"mqtt://127.0.0.1:{broker.port}",
        }
        with stand.services(["ledger", "ingestion"], settings) as running:
            ledger = stand.ledger_of(running["ledger"], data_dir)
            probe_units = fleet.units(PROBES, name="probe")
            _register(ledger, [*bench_fleet, *probe_units])
            pids = {name: service.process.pid for name, service in running.items()}
            watch = Watch(pids | {"mosquitto": broker.server.pid, "postgres": database.server.pid})
            bytes_before = database_bytes(url)
            rate = _run(ledger, folder, broker, full, 0)
            cpu_s, bytes_used = watch.cpu_s(), database_bytes(url) - bytes_before
            probes = _Probes(broker, probe_units, start_s)
            _run(ledger, folder, broker, half, max(1, rate // 2))
            waits_s = probes.end()
            ledger.close()
            return {
                "packs_per_s": rate,
                **{f"p{percent}_ms": percentile_ms(waits_s, percent) for percent in (50, 95, 99)},
                "cpu_s": cpu_s,
                "bytes_per_pack": bytes_used // len(full),
                "rss_mb": watch.rss_mb(),
            }


def _start_s() -> int:
    return int(time.time()) // HOUR_S * HOUR_S - AGE_S


def _two_thirds(messages: Messages, bench_fleet: list[BenchUnit]) -> int:
    """So many that every unit sends the same number."""
    return len(messages) * 2 // 3 // len(bench_fleet) * len(bench_fleet)


def _register(ledger: RemoteLedger, bench_fleet: list[BenchUnit]) -> None:
    stand.ask_all(ledger, [DepositReserve(10**16, "bench")])
    stand.ask_all(ledger, [EnrollCustomer(unit.device_id, "saver") for unit in bench_fleet])
    stand.ask_all(ledger, [unit.registration() for unit in bench_fleet])
    stand.ask_all(ledger, [ClaimUnit(unit.device_id, unit.claim_hash) for unit in bench_fleet])


def _run(ledger: RemoteLedger, folder: Path, broker: Mosquitto, messages: Messages, rate: int) -> int:
    """Publish, wait until each message is an entry of the ledger; packs a second."""
    path = folder / "packs.load"
    publisher.write_load(path, publisher.load_of(messages))
    wanted_size = ledger.head().size + len(messages)
    sender = stand.module("publisher", path, broker.port, rate)
    stand.json_line(sender)
    began_s = time.monotonic()
    stand.wait_for_size(ledger, wanted_size)
    seconds = time.monotonic() - began_s
    sender.communicate()
    return round(len(messages) / seconds)


class _Probes:
    """Units of their own whose first pack is answered by a receipt at once: from publish to spendable."""

    def __init__(self, broker: Mosquitto, probes: list[BenchUnit], start_s: int) -> None:
        self.waits_s: list[float] = []
        self._sent_s: dict[str, float] = {}
        self._messages = fleet.messages(probes, packs_each=1, intervals=1, start_s=start_s)
        self._ended = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = self._on_receipt
        self._client.connect("127.0.0.1", broker.port)
        self._client.subscribe("sparks/v1/+/receipts", qos=1)
        self._client.loop_start()
        self._thread = threading.Thread(target=self._send_all, name="probes")
        self._thread.start()

    def end(self) -> list[float]:
        """Stop sending; the seconds that each probe waited, in order of length."""
        self._ended.set()
        self._thread.join()
        self._client.loop_stop()
        return sorted(self.waits_s)

    def _send_all(self) -> None:
        for device_id, message in self._messages:
            if self._ended.wait(PROBE_EVERY_S):
                return
            self._sent_s[device_id] = time.monotonic()
            self._client.publish(f"sparks/v1/{device_id}/readings", message, qos=1)

    def _on_receipt(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        sent_s = self._sent_s.get(message.topic.split("/")[2])
        if sent_s is not None:
            self.waits_s.append(time.monotonic() - sent_s)


def database_bytes(url: str) -> int:
    """How large the database is on disk."""
    with psycopg.connect(url.replace("postgresql+psycopg://", "postgresql://"), autocommit=True) as connection:
        row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    return int(row[0]) if row else 0
