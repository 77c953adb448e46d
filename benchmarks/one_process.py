"""`sparks bench ingest --embedded`: one process with amqtt and SQLite, and units that log in each by itself."""

import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from benchmarks import fleet, passage, publisher, stand
from benchmarks.servers import free_port
from device_sim.fleet import Provision
from device_sim.people import Customer, Operator
from services.keys import Keys
from services.settings import DATABASE_FILE

PASSWORD: Final = "one process for all"
PROBES_MAX: Final = 200


def bench(*, units: int, packs_each: int, intervals: int) -> dict[str, Any]:
    """The figures of interfaces.md 5; the ceiling is one bare loop in one process with the same broker."""
    bench_fleet, probe_units = fleet.units(units), fleet.units(min(PROBES_MAX, units * packs_each), name="probe")
    start_s = passage.start_s()
    messages = list(fleet.messages(bench_fleet, packs_each=packs_each, intervals=intervals, start_s=start_s))
    probe_messages = list(fleet.messages(probe_units, packs_each=1, intervals=1, start_s=start_s))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data_dir, mqtt_port = folder / "data", free_port()
        settings = {"SPARKS_DATA_DIR": str(data_dir), "SPARKS_MQTT_PORT": str(mqtt_port)}
        with (
            stand.services(["all"], settings) as running,
            closing(stand.ledger_of(running["all"], data_dir)) as ledger,
        ):
            logins = _logins(running["all"].base_url, data_dir, [*bench_fleet, *probe_units])
            platform = passage.Platform(
                folder=folder,
                mqtt_port=mqtt_port,
                logins=logins,
                ledger=ledger,
                pids={"all": running["all"].process.pid},
                stored_bytes=lambda: _database_bytes(data_dir / DATABASE_FILE),
            )
            figures = passage.figures(platform, messages, probe_messages, units=units)
        # The platform is at rest; its broker comes up again, with the same accounts, beside a loop that only verifies.
        bare = stand.module("ceiling", mqtt_port, units, data_dir)
        load = publisher.load_of(messages, {unit.device_id: logins[unit.device_id] for unit in bench_fleet})
        ceiling = passage.ceiling_per_s([bare], load, folder=folder, mqtt_port=mqtt_port)
    return {**figures, "ceiling_per_s": ceiling}


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


def _database_bytes(path: Path) -> int:
    """How large the database is, with what lies in its write-ahead log."""
    with closing(sqlite3.connect(path)) as connection:
        (found,) = connection.execute(
            "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
        ).fetchone()
    return int(found)
