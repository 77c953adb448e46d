"""`sparks serve ledger` twice: whichever dies or sleeps, the other writes on, and callers need not know which."""

import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from benchmarks import servers
from benchmarks.stand import Service
from services.keys import Keys
from services.ledger.remote import RemoteLedger
from tests.services.ledger.builders import fund
from tests.services.ledger.takeover import wait_until
from tests.services.ledger.test_takeover import ask_until_answered


def says(service: Service) -> str:
    """What it says of itself in `/readyz`, if it is ready."""
    try:
        return str(httpx.get(f"{service.base_url}/readyz", timeout=2).json().get("status"))
    except httpx.TransportError:
        return ""


@pytest.fixture
def two_ledgers(tmp_path: Path) -> Iterator[tuple[Service, Service]]:
    """The active one and its standby, which were both started before their database was."""
    with servers.postgres(fast=True) as server, server.fresh_database() as url:
        server.stop()
        settings = {"SPARKS_DATA_DIR": str(tmp_path / "data"), "SPARKS_DATABASE_URL": url}
        one, other = Service("ledger", settings), Service("ledger", settings)
        try:
            server.start()
            wait_until(lambda: {says(one), says(other)} == {"ready", "standby"}, within_s=60)
            yield (one, other) if says(one) == "ready" else (other, one)
        finally:
            for service in (one, other):
                service.process.kill()
                service.process.wait()


def test_the_ledger_goes_on_when_its_process_sleeps_and_when_it_dies(two_ledgers, tmp_path):
    active, standby = two_ledgers
    token = Keys(tmp_path / "data" / "keys").internal_token()
    urls = (active.base_url, standby.base_url)
    with closing(RemoteLedger(*urls, token=token, answer_s_max=1)) as ledger:
        (first,) = ask_until_answered(ledger, [fund(1)])
        assert httpx.get(f"{standby.base_url}/log/checkpoint").text.splitlines()[1] == str(first.index + 1)
        assert 'sparks_ledger_role{role="standby"} 1.0' in httpx.get(f"{standby.base_url}/metrics").text

        active.process.send_signal(signal.SIGSTOP)
        (second,) = ask_until_answered(ledger, [fund(2)])
        active.process.send_signal(signal.SIGCONT)
        wait_until(lambda: says(active) == "standby")

        standby.process.kill()
        (third,) = ask_until_answered(ledger, [fund(3)])

    assert [first.index, second.index, third.index] == [1, 2, 3]
    assert says(active) == "ready"
    assert "sparks_ledger_epoch 3.0" in httpx.get(f"{active.base_url}/metrics").text
