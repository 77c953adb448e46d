"""A stranger meets `sparks serve all`, which is killed in the middle of their packs."""

import signal
import stat
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.story.outsider.log import Log, leaf_hash, root_of, verified_proof
from tests.story.outsider.packs import Flows
from tests.story.outsider.rewards import TORONTO, Household
from tests.story.outsider.served import Served
from tests.story.outsider.stage import CAPACITY_WH, Home, Stage
from tests.story.outsider.unit import Unit

MINUTE_S = 60
PACKS = 60
KILLED_AFTER = 24
DEPOSIT = {"amount_cents": 1_000_000, "reference": "once"}
MINUTE = Flows(pv=1_500, load=1_000, export=500)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    process = Served(tmp_path / "data")
    yield process
    process.make_sure_it_ended()


def last_evening_s() -> int:
    """20:00 of yesterday in Toronto: off-peak on every day of the year, and past."""
    evening = datetime.now(TORONTO).replace(hour=20, minute=0, second=0, microsecond=0) - timedelta(days=1)
    return int(evening.timestamp())


def test_a_killed_platform_decides_every_pack_once(served: Served) -> None:
    served.start()
    stage = served.stage()
    deposited = stage.operator.post("/v1/reserve-deposits", DEPOSIT, key="before-the-kill")
    assert stat.S_IMODE((served.data_dir / "keys" / "operator.json").stat().st_mode) == 0o600
    with stage.home("survivor", start_s=last_evening_s()) as home:
        stage.attest(home.customer_id)
        start_s = home.unit.next_start_s
        for _ in range(PACKS):
            home.unit.send([MINUTE], interval_s=MINUTE_S)
            if home.unit.seq == KILLED_AFTER:
                assert home.unit.receipt(lambda receipt: receipt["seq"] >= 12)["refused"] == []
                served.end(signal.SIGKILL)
                break
    for _ in range(PACKS - KILLED_AFTER):
        home.unit.signed([MINUTE], interval_s=MINUTE_S)  # measured while nobody listens

    served.start()
    stage = served.stage()
    home = replace(home, customer=stage.signed_in("survivor"))
    assert stage.operator.post("/v1/reserve-deposits", DEPOSIT, key="before-the-kill").content == deposited.content
    resend_what_no_receipt_covers(home.unit)
    household = Household(CAPACITY_WH)
    awards = [household.earn(start_s + k * MINUTE_S, MINUTE) for k in range(PACKS)]
    expected = [sum(award.values()) for award in awards]

    assert [entry["micro_sparks"] for entry in reversed(home.entries())] == expected
    assert stage.operator.got("/v1/devices/survivor")["last_seq"] == PACKS
    assert home.sparks()["balance_micro_sparks"] == sum(expected)
    assert stage.quarantined("survivor") == []
    buy(stage, home)
    assert_the_log_is_whole(Log(served.base_url))
    assert served.end(signal.SIGINT) in (0, 130)


def resend_what_no_receipt_covers(unit: Unit) -> None:
    """Connect again, send all that is in the outbox, the newest pack once more, and hear that all is decided."""
    covered = max(receipt["seq"] for receipt in unit.receipts())
    unit.forget()
    with unit:
        for seq in range(covered + 1, PACKS + 1):
            unit.publish(unit.sent[seq])
        assert unit.settle()["refused"] == []


def buy(stage: Stage, home: Home) -> None:
    """One cent at a till."""
    before = home.sparks()["balance_micro_sparks"]
    sold = stage.shop("SERVED1").authorize(1, home.checkout_code())
    assert sold["status"] == "captured", sold
    assert home.sparks()["balance_micro_sparks"] == before - 1_000_000


def assert_the_log_is_whole(log: Log) -> None:
    checkpoint = log.checkpoint()
    entries = log.entries(checkpoint.size)
    assert root_of([leaf_hash(entry) for entry in entries]) == checkpoint.root
    assert verified_proof(log.proof(0), entries[0], log.vkey())[0] == 0
