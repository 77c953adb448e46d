"""`sparks bench ingest --embedded`: one process with amqtt and SQLite, and units that log in each by itself."""

import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from benchmarks import fleet, publisher, stand
from benchmarks.ingest import AGE_S
from benchmarks.servers import free_port
from benchmarks.watch import Watch
from contracts.units import HOUR_S
from device_sim.fleet import Provision
from device_sim.people import Customer, Operator
from services.keys import Keys
from services.ledger.remote import RemoteLedger
from services.settings import DATABASE_FILE

PASSWORD: Final = "one process for all"


def bench(*, units: int, packs_each: int, intervals: int) -> dict[str, Any]:
    """Packs a second from publish to ledger; the ceiling is the same as for servers, see `benchmarks.ingest`."""
    bench_fleet = fleet.units(units)
    start_s = int(time.time()) // HOUR_S * HOUR_S - AGE_S
    messages = fleet.messages(bench_fleet, packs_each=packs_each, intervals=intervals, start_s=start_s)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data_dir, mqtt_port = folder / "data", free_port()
        settings = {"SPARKS_DATA_DIR": str(data_dir), "SPARKS_MQTT_PORT": str(mqtt_port)}
        with stand.services(["all"], settings) as running:
            service = running["all"]
            logins = _logins(service.base_url, data_dir, bench_fleet)
            path = folder / "packs.load"
            publisher.write_load(path, publisher.load_of(messages, logins))
            watch = Watch({"all": service.process.pid})
            with closing(stand.ledger_of(service, data_dir)) as ledger:
                rate = _run(ledger, path, mqtt_port, len(messages))
            stored = (data_dir / DATABASE_FILE).stat().st_size
            return {
                "packs_per_s": rate,
                "cpu_s": watch.cpu_s(),
                "bytes_per_pack": stored // len(messages),
                "rss_mb": watch.rss_mb(),
            }


def _logins(base_url: str, data_dir: Path, bench_fleet: list[fleet.BenchUnit]) -> dict[str, str]:
    """Register the units over HTTP, one customer holding them all."""
    credentials = Keys(data_dir / "keys").operator()
    operator = Operator(base_url, client_id=credentials.name, client_secret=credentials.secret)
    customer = Customer(base_url, email="bench@example.com", password=PASSWORD)
    with closing(operator), closing(customer):
        operator.deposit(10**9, "bench")
        items = operator.provision([_provision(unit).enrolment() for unit in bench_fleet])
        customer.enroll(name="Bench", postal_code="L5B 4M7", level="saver")
        for item in items:
            customer.claim(item["claim_code"])
    return {item["mqtt_username"]: item["mqtt_password"] for item in items}


def _provision(unit: fleet.BenchUnit) -> Provision:
    return Provision(
        device_id=unit.device_id,
        seed=unit.seed,
        pv_nameplate_w=400_000,
        battery_capacity_wh=10_000,
        battery_power_w=5_000,
        zone=fleet.ZONE,
    )


def _run(ledger: RemoteLedger, path: Path, mqtt_port: int, count: int) -> int:
    wanted_size = ledger.head().size + count
    sender = stand.module("publisher", path, mqtt_port, 0)
    stand.json_line(sender)
    began_s = time.monotonic()
    stand.wait_for_size(ledger, wanted_size)
    seconds = time.monotonic() - began_s
    sender.communicate()
    return round(count / seconds)
