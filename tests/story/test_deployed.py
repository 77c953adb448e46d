"""The deployed shape: every service of compose.yaml as a process, with a real Mosquitto, PostgreSQL and nginx."""

import os
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
import yaml

from benchmarks import servers
from benchmarks.stand import Service
from device_sim.people import CallFailed, Operator
from services import database, faces
from services.keys import Keys, Use
from services.ledger import archive
from services.ledger.queries import Queries
from services.proposing import Desk, proven_key
from tests.services.ledger.takeover import wait_until
from tests.story.commands import json_of, sparks
from tests.story.journey import HOURS, Household, joined
from tests.story.proxy import NGINX_CONF, here, proxy

T = TypeVar("T")

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
OURS = {name: one["command"] for name, one in COMPOSE.items() if one.get("image") == "sparks"}
SERVING = {name: command[1] for name, command in OURS.items() if command[0] == "serve"}
MEMBERS = {"lakeshore": "utility", "auditor": "auditor"}
BROKER_LINES = ("acl_file", "plugin", "max_", "message_size_limit")
PURCHASES = 24
PRICE_CENTS = 5  # all of them cost less than a day may earn, whatever the time of day
START_S = 60


@dataclass(frozen=True)
class Deployed:
    """The running services by their names in compose.yaml, behind nginx at `base_url`."""

    folder: Path
    broker_url: str
    database_url: str
    ports: dict[str, int]
    services: dict[str, Service] = field(default_factory=dict)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.ports['proxy']}"

    @property
    def operator_file(self) -> Path:
        self.keys("sparks").operator()
        return self.folder / "sparks" / "keys" / "operator.json"

    def keys(self, volume: str) -> Keys:
        return Keys(self.folder / volume / "keys")

    def says(self, name: str) -> str:
        """What a service says of itself in `/readyz`, if it is ready."""
        try:
            return str(httpx.get(f"{self.services[name].base_url}/readyz", timeout=2).json().get("status"))
        except httpx.TransportError:
            return ""

    def answers(self, name: str) -> bool:
        """Is it ready, to write or to stand by?"""
        return bool(self.says(name))

    def settings(self, name: str) -> dict[str, str]:
        """The environment that compose.yaml gives a service, with this machine's places."""
        (volume, *_) = (place.partition(":")[0] for place in COMPOSE[name]["volumes"])
        said = {"SPARKS_DATA_DIR": str(self.folder / volume), **COMPOSE[name]["environment"]}
        known = {
            "/var/lib/sparks": str(self.folder / volume),
            "postgresql://sparks:sparks@database/sparks": self.database_url,
            "mqtt://broker:1883": self.broker_url,
        }
        return {key: self._here(known.get(value, value)) for key, value in said.items() if key != "SPARKS_HTTP_HOST"}

    def _here(self, value: str) -> str:
        """A value with its default for a variable, and with ports of this machine for its hosts."""
        value = re.sub(r"\$\{\w+:-(.*)\}", r"\1", value)
        return re.sub(r"http://([a-z-]+):8000", lambda found: f"http://127.0.0.1:{self.ports[found[1]]}", value)


def broker_config(folder: Path) -> str:
    """deploy/mosquitto.conf with this machine's places."""
    lines = (ROOT / "deploy" / "mosquitto.conf").read_text().splitlines()
    kept = [line for line in lines if line.startswith(BROKER_LINES)]
    there = "\n".join(kept).replace("/broker/", f"{folder}/")
    return there.replace("/usr/lib/mosquitto_dynamic_security.so", servers.dynamic_security_plugin())


@pytest.fixture
def deployed(tmp_path: Path, postgres_url: str) -> Iterator[Deployed]:
    """Everything of `docker compose up`, and then of `--profile members up` with the log's key."""
    broker_dir = tmp_path / "broker"
    broker_dir.mkdir()
    accounts = [*OURS["broker-accounts"][:-1], str(broker_dir / "dynamic-security.json")]
    data = {"SPARKS_DATA_DIR": str(tmp_path / "sparks")}
    subprocess.run([sys.executable, "-m", "services.cli", *accounts], env=data, cwd=ROOT, check=True)
    ports = {name: servers.free_port() for name in (*SERVING, "proxy")}
    with ExitStack() as stack:
        broker = stack.enter_context(servers.mosquitto(broker_config(broker_dir), allow_anonymous=False))
        found = Deployed(tmp_path, broker.url, postgres_url, ports)
        stack.callback(end, found.services)
        platform = [name for name in SERVING if SERVING[name] != "member"]
        for name in platform:
            found.services[name] = Service(SERVING[name], found.settings(name), port=ports[name])
        for name in platform:
            wait_until(partial(found.answers, name), within_s=START_S)
        stack.enter_context(proxy(ports, port=ports["proxy"]))
        for name in SERVING.keys() - set(platform):
            settings = found.settings(name) | {"SPARKS_MEMBER_LOG_KEY": log_key(found)}
            found.services[name] = Service(SERVING[name], settings, port=ports[name])
        yield found


def end(services: dict[str, Service]) -> None:
    for service in services.values():
        service.process.terminate()
    for service in services.values():
        service.stop()


def test_every_service_of_compose_is_one_that_sparks_serves_or_needs() -> None:
    assert set(SERVING.values()) == {*faces.Service, "member"}
    assert Counter(SERVING.values())["ledger"] == 2
    assert set(COMPOSE) - set(OURS) == {"database", "broker", "proxy"}


def test_every_service_that_asks_the_ledger_knows_both() -> None:
    ledgers = {f"http://{name}:8000" for name, service in SERVING.items() if service == "ledger"}
    for name, service in SERVING.items():
        if service not in {"ledger", "member"}:
            assert set(COMPOSE[name]["environment"]["SPARKS_LEDGER_URL"].split(",")) == ledgers


def test_the_proxy_asks_the_service_of_each_path_and_never_passes_on_what_is_internal() -> None:
    names = [*SERVING, "proxy"]
    with ExitStack() as stack:
        ports = {name: stack.enter_context(naming_itself(name)) for name in names if name != "proxy"}
        base_url = stack.enter_context(proxy(ports, port=servers.free_port()))
        asked = {
            "/v1/customers": "customers",
            "/v1/customers/abc/identity": "operations",
            "/v1/me": "customers",
            "/v1/me/sparks": "customers",
            "/v1/authorizations/1/captures": "gateway",
            "/v1/members": "operations",
            "/v1/proposals": "operations",
            "/openapi.json": "operations",
        }
        assert {path: httpx.get(f"{base_url}{path}").text for path in asked} == asked
        for path in ("/log/tile/0/000", "/v1/entries/1/proof", "/v1/members/payloads?from=0"):
            assert httpx.get(f"{base_url}{path}").text in {"ledger", "ledger-standby"}
        assert httpx.get(f"{base_url}/internal/ledger/submit").status_code == 404


@contextmanager
def naming_itself(name: str) -> Iterator[int]:
    """A service that answers everything with its name; gives its port."""
    from fastapi import FastAPI
    from fastapi.responses import PlainTextResponse

    from services.embedded import listen, served

    app = FastAPI(openapi_url=None)
    app.get("/{path:path}")(lambda path: PlainTextResponse(name))
    with listen("127.0.0.1", 0, "a test") as port, served(app, port):
        yield port.getsockname()[1]


def test_readings_and_purchases_go_on_when_the_ledger_that_writes_is_killed(deployed: Deployed, tmp_path: Path) -> None:
    admit_members(deployed)
    credentials = deployed.keys("sparks").operator()
    operator = Operator(deployed.base_url, client_id=credentials.name, client_secret=credentials.secret)
    (active,) = (name for name in ("ledger", "ledger-standby") if deployed.says(name) == "ready")
    (standby,) = {"ledger", "ledger-standby"} - {active}
    with (
        closing(operator),
        joined(deployed.base_url, deployed.broker_url, operator, tmp_path / "unit", int(time.time())) as home,
    ):
        home.measure(range(HOURS // 2))
        home.wait_for_receipts()
        sales = purchases_of(home, range(PURCHASES // 2))
        killer = threading.Thread(target=deployed.services[active].process.kill)
        home.measure(range(HOURS // 2, HOURS))
        killer.start()
        sales += purchases_of(home, range(PURCHASES // 2, PURCHASES))
        killer.join()
        home.wait_for_receipts()
        again = purchases_of(home, range(PURCHASES), codes=[sale["code"] for sale in sales])

    assert [sale["id"] for sale in again] == [sale["id"] for sale in sales]
    assert len({sale["id"] for sale in again}) == PURCHASES
    assert deployed.says(standby) == "ready"
    engine = database.engine(deployed.database_url)
    queries = Queries(engine)
    kinds = Counter(recorded.kind for recorded in queries.recorded(0, queries.size()))
    assert (kinds["record_pack"], kinds["authorize"]) == (HOURS, PURCHASES)
    wait_until(lambda: is_final(deployed, queries.size()), within_s=START_S)
    for member in MEMBERS:
        settings = deployed.settings(f"member-{member}") | {"SPARKS_MEMBER_LOG_KEY": log_key(deployed)}
        status = json_of(sparks(deployed.folder / f"member-{member}", "member", "status", "--json", settings=settings))
        assert (status["behind"], status["disagreements"]) == (0, [])
    assert archive.Reading(back_up(deployed)).manifest.size == queries.size()
    documented = httpx.get(f"{deployed.base_url}/openapi.json").json()["paths"]
    assert {"/v1/customers", "/v1/authorizations", "/v1/devices", "/log/checkpoint"} <= documented.keys()
    engine.dispose()


def back_up(deployed: Deployed) -> Path:
    """What cron runs; the one backup that there is then."""
    folder = deployed.folder / "backups"
    folder.mkdir()
    (script,) = OURS["backup"]
    programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {"PATH": programs, **deployed.settings("backup")}
    done = subprocess.run(
        [*COMPOSE["backup"]["entrypoint"], script.replace("/backups", str(folder))],
        env=environment,
        cwd=deployed.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (made,) = folder.iterdir()
    return made


def admit_members(deployed: Deployed) -> None:
    """What docs/operations.md says under "Members in compose", by the same calls as the command makes."""
    desk, present = Desk(deployed.base_url, deployed.operator_file), list[str]()
    for member, role in MEMBERS.items():
        keys, shown = deployed.keys(f"member-{member}"), desk.look("/v1/members")
        body = {
            "kind": "admit_member",
            "member_id": member,
            "name": member,
            "role": role,
            "url": deployed.services[f"member-{member}"].base_url,
            "cosign_name": f"{member}.example/all",
            "keys": [proven_key(shown, keys.seed(use), member, str(use), None) for use in (Use.GOVERN, Use.COSIGN)],
        }
        present.append(member)
        decide(deployed, desk, body, present)
    decide(deployed, desk, {"kind": "set_quorum", "quorum": len(present)}, present)


def decide(deployed: Deployed, desk: Desk, body: dict[str, Any], approvers: list[str]) -> None:
    proposal = desk.propose(body)
    states = [
        desk.approve(proposal, member, deployed.keys(f"member-{member}").seed(Use.GOVERN))["state"]
        for member in approvers
    ]
    assert states[-1] == "carried", states


def log_key(deployed: Deployed) -> str:
    return httpx.get(f"{deployed.base_url}/log/keys").text.splitlines()[0]


def is_final(deployed: Deployed, size: int) -> bool:
    """Does the published checkpoint bear both members' signatures, and cover that much?"""
    note = httpx.get(f"{deployed.base_url}/log/checkpoint").text
    return int(note.split("\n")[1]) >= size and all(f"{member}.example/all" in note for member in MEMBERS)


def purchases_of(home: Household, numbers: range, codes: list[str] | None = None) -> list[dict[str, Any]]:
    """Buy once for each number, as a till that asks again with the same key until it is answered."""
    told = []
    for number in numbers:
        code = codes[number] if codes else insist(home.customer.checkout_code)
        body = {"terminal_id": "TILL01", "amount_cents": PRICE_CENTS, "checkout_code": code, "capture": True}
        sale = insist(partial(home.shop.post, "/v1/authorizations", body, key=f"sale-{number}"))
        assert sale["status"] == "captured", sale
        told.append({**sale, "code": code})
    return told


def insist(call: Callable[[], T]) -> T:
    """Call until there is an answer other than "not now"."""
    answers: list[T] = []

    def is_answered() -> bool:
        try:
            answers.append(call())
        except CallFailed as failed:
            if failed.status not in {0, 502, 503, 504}:
                raise
            return False
        return True

    wait_until(is_answered, within_s=START_S)
    return answers[0]


def test_each_host_that_the_proxy_names_is_a_service_of_compose() -> None:
    ports = dict.fromkeys(COMPOSE, 1)

    assert ":8000" not in here(NGINX_CONF.read_text(), ports, port=1)
