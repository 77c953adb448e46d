"""The deployed shape: every service's command of compose.yaml as a process, with a real Mosquitto and PostgreSQL."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from benchmarks.servers import dynamic_security_plugin, mosquitto
from benchmarks.stand import Service
from device_sim.people import Operator
from services import faces
from services.keys import Keys
from tests.story.journey import measure_earn_and_pay
from tests.story.proxy import proxy, service_of

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
OURS = {name: one["command"] for name, one in COMPOSE.items() if one.get("image") == "sparks"}
BROKER_LINES = ("acl_file", "plugin", "max_", "message_size_limit")


def serving() -> list[str]:
    """Names of the services that `sparks serve` runs, the ledger first because the others ask it."""
    names = [command[1] for command in OURS.values() if command[0] == "serve"]
    return sorted(names, key=lambda name: name != "ledger")


def broker_config(folder: Path) -> str:
    """deploy/mosquitto.conf with this machine's places."""
    lines = (ROOT / "deploy" / "mosquitto.conf").read_text().splitlines()
    kept = [line for line in lines if line.startswith(BROKER_LINES)]
    here = "\n".join(kept).replace("/broker/", f"{folder}/")
    return here.replace("/usr/lib/mosquitto_dynamic_security.so", dynamic_security_plugin())


@pytest.fixture
def deployed(tmp_path: Path, postgres_url: str) -> Iterator[dict[str, str]]:
    """The running services; `base_url`, `broker_url` and the data folder by name."""
    data_dir, broker_dir = tmp_path / "data", tmp_path / "broker"
    broker_dir.mkdir()
    settings = {"SPARKS_DATA_DIR": str(data_dir), "SPARKS_DATABASE_URL": postgres_url}
    accounts = [*OURS["broker-accounts"][:-1], str(broker_dir / "dynamic-security.json")]
    subprocess.run([sys.executable, "-m", "services.cli", *accounts], env=settings, cwd=ROOT, check=True)
    with ExitStack() as stack:
        broker = stack.enter_context(mosquitto(broker_config(broker_dir), allow_anonymous=False))
        settings |= {"SPARKS_BROKER_URL": f"mqtt://127.0.0.1:{broker.port}"}
        base_urls = {}
        for name in serving():
            service = Service(name, settings)
            stack.callback(service.stop)
            service.wait_until_ready()
            base_urls[name] = service.base_url
            settings = {**settings, "SPARKS_LEDGER_URL": base_urls["ledger"]}
        base_url = stack.enter_context(proxy(base_urls))
        yield {"base_url": base_url, "broker_url": settings["SPARKS_BROKER_URL"], "data_dir": str(data_dir)}


def test_every_service_of_compose_is_one_that_sparks_serves_or_needs() -> None:
    assert serving()[0] == "ledger"
    assert set(serving()) == set(faces.Service)
    assert set(COMPOSE) - set(OURS) == {"database", "broker", "proxy"}


def test_a_pack_is_sent_and_its_sparks_pay(deployed: dict[str, str], tmp_path: Path) -> None:
    credentials = Keys(Path(deployed["data_dir"]) / "keys").operator()
    operator = Operator(deployed["base_url"], client_id=credentials.name, client_secret=credentials.secret)
    with closing(operator):
        told = measure_earn_and_pay(
            deployed["base_url"], deployed["broker_url"], operator, tmp_path / "unit", int(time.time())
        )

    earned, left = (told[when]["balance_micro_sparks"] for when in ("before", "after"))
    assert earned - left == 100_000_000
    assert httpx.get(f"{deployed['base_url']}/log/checkpoint").text.startswith("sparks.example/ledger\n")


def test_the_proxy_never_passes_on_what_is_internal() -> None:
    assert service_of("/internal/submit") is None
    assert service_of("/v1/customers") == "customers"
    assert service_of("/v1/customers/abc/identity") == "operations"
    assert service_of("/v1/me/sparks") == "customers"
    assert service_of("/v1/authorizations/1/captures") == "gateway"
    assert service_of("/log/tile/0/000") == "ledger"


def test_every_service_documents_the_whole_interface(deployed: dict[str, str]) -> None:
    documented = httpx.get(f"{deployed['base_url']}/openapi.json").json()["paths"]

    assert {"/v1/customers", "/v1/authorizations", "/v1/devices", "/log/checkpoint"} <= documented.keys()
