"""`sparks bench checkout`: one-message purchases a second over HTTP, each durable, beside a trivial handler's rate.

The ceiling is the same web framework and server answering a constant to the same load in the same run.
"""

import json
import pickle
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from benchmarks import fleet, stand
from benchmarks.fleet import BenchUnit
from benchmarks.ingest import database_bytes
from benchmarks.servers import Postgres, free_port, postgres
from benchmarks.watch import Watch, percentile_ms
from contracts.checkout import IssueCheckoutCode
from contracts.commands import AttestIdentity, ClaimUnit, Command, DepositReserve, EnrollCustomer, RecordPack
from contracts.units import DAY_S, HOUR_S
from device_sim.people import Operator, Shop
from services.customers.codes import PAN_PREFIX, code_hash, luhn_digit
from services.keys import Keys
from services.ledger.remote import RemoteLedger

PRICE_CENTS: Final = 1
PURCHASES_PER_CUSTOMER: Final = 100
"""A customer earns the cap of one local day, 200 sparks, before the shopping begins."""
CODES_FROM: Final = 10**16
EXPIRES_S: Final = 4_000_000_000
TERMINAL: Final = "TILL01"


def bench(*, purchases: int, connections: int) -> dict[str, Any]:
    """The figures of interfaces.md 5."""
    with tempfile.TemporaryDirectory() as name, postgres() as database:
        folder = Path(name)
        figures = _platform_figures(folder, database, purchases, connections)
        return {**figures, "ceiling_per_s": _ceiling(folder, connections)}


def _platform_figures(folder: Path, database: Postgres, purchases: int, connections: int) -> dict[str, Any]:
    data_dir = folder / "data"
    with database.fresh_database() as url:
        settings = {
            "SPARKS_DATA_DIR": str(data_dir),
            "SPARKS_DATABASE_URL": url,
            "SPARKS_BROKER_URL": "mqtt://127.0.0.1:1",  # nobody speaks to it: no unit is registered over HTTP
        }
        with stand.services(["ledger", "operations", "gateway"], settings) as running:
            with closing(stand.ledger_of(running["ledger"], data_dir)) as ledger:
                codes = _codes(ledger, purchases)
            shop = _shop(running["operations"].base_url, data_dir)
            _write_load(folder / "tills.load", shop, codes)
            pids = {name: running[name].process.pid for name in ("ledger", "gateway")}
            watch, bytes_before = Watch({**pids, "postgres": database.server.pid}), database_bytes(url)
            tills = stand.module("tills", folder / "tills.load", running["gateway"].port, connections)
            found = stand.json_line(tills)
            tills.communicate()
            if found["statuses"] != {"201 captured": purchases}:
                raise stand.StandFailed(f"not every purchase was captured: {found['statuses']}")
            latencies_s = found["latencies_s"]
            return {
                "purchases_per_s": round(purchases / found["seconds"]),
                **{f"p{percent}_ms": percentile_ms(latencies_s, percent) for percent in (50, 95, 99)},
                "cpu_s": watch.cpu_s(),
                "bytes_per_purchase": (database_bytes(url) - bytes_before) // purchases,
                "rss_mb": watch.rss_mb(),
            }


def _codes(ledger: RemoteLedger, purchases: int) -> list[str]:
    """Customers who have earned enough, and a checkout code for each purchase."""
    customers = fleet.units(-(-purchases // PURCHASES_PER_CUSTOMER), name="customer")
    stand.ask_all(ledger, [DepositReserve(10**16, "bench")])
    stand.ask_all(ledger, [command for unit in customers for command in _joining(unit)])
    start_s = int(time.time()) // HOUR_S * HOUR_S - DAY_S
    packs = [(unit, message) for unit in customers for message in fleet.sunny_hours(unit, hours=12, start_s=start_s)]
    stand.ask_all(ledger, [RecordPack(unit.device_id, message) for unit, message in packs])
    chosen = [str(CODES_FROM + number) for number in range(purchases)]
    codes = [digits + luhn_digit(PAN_PREFIX + digits) for digits in chosen]
    stand.ask_all(ledger, [_issued(code, customers[place % len(customers)]) for place, code in enumerate(codes)])
    return codes


def _joining(unit: BenchUnit) -> list[Command]:
    return [
        EnrollCustomer(unit.device_id, "saver"),
        AttestIdentity(unit.device_id, "enhanced", "bench", EXPIRES_S),
        unit.registration(),
        ClaimUnit(unit.device_id, unit.claim_hash),
    ]


def _issued(code: str, unit: BenchUnit) -> IssueCheckoutCode:
    return IssueCheckoutCode(unit.device_id, code_hash(code), PRICE_CENTS)


def _shop(base_url: str, data_dir: Path) -> Shop:
    credentials = Keys(data_dir / "keys").operator()
    operator = Operator(base_url, client_id=credentials.name, client_secret=credentials.secret)
    with closing(operator):
        client = operator.admit_shop("Bench", [TERMINAL])
    return Shop(base_url, client_id=client["client_id"], client_secret=client["client_secret"], terminal_id=TERMINAL)


def _write_load(path: Path, shop: Shop, codes: list[str]) -> None:
    with closing(shop):
        token = shop.token()
    bodies = [
        json.dumps({"terminal_id": TERMINAL, "amount_cents": PRICE_CENTS, "checkout_code": code}).encode()
        for code in codes
    ]
    path.write_bytes(pickle.dumps([(token, body) for body in bodies]))


def _ceiling(folder: Path, connections: int) -> int:
    """Requests a second of a handler that does nothing, under the same load."""
    server = stand.module("trivial", port := free_port())
    stand.json_line(server)
    try:
        tills = stand.module("tills", folder / "tills.load", port, connections)
        found = stand.json_line(tills)
        tills.communicate()
    finally:
        server.terminate()
        server.communicate()
    answered: int = sum(found["statuses"].values())
    return round(answered / float(found["seconds"]))
