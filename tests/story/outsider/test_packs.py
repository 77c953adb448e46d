"""Packs that count: sent by a stranger's unit, answered with receipts, paid in sparks to the micro-spark."""

from contextlib import AbstractContextManager
from dataclasses import replace

import pytest

from services.clock import SimulatedClock
from tests.story.outsider.cose import ED25519, EDDSA
from tests.story.outsider.packs import Flows, message_hash
from tests.story.outsider.rewards import CAP_MICRO_SPARKS, Household, total
from tests.story.outsider.stage import CAPACITY_WH, Stage, eventually
from tests.story.outsider.unit import HOUR_S, SUNNY, Unit

A_DAY = [
    Flows(pv=0, load=2_000, charge=3_000, drawn=5_000),
    Flows(pv=4_000, load=500, charge=3_000, export=500),
    Flows(pv=300, load=4_000, discharge=3_700),
    Flows(pv=2_500, load=1_000, discharge=1_000, export=2_500),
    Flows(load=700, drawn=700),
    SUNNY,
    Flows(pv=9_000, load=999, charge=5_000, export=3_001),
    Flows(load=4_001, discharge=4_001),
    Flows(load=333, drawn=333),
    Flows(pv=1, export=1),
    Flows(load=3_000, discharge=2_500, drawn=500),
    Flows(pv=777, load=777),
]


def test_a_pack_of_one_interval_is_answered_by_a_signed_receipt(stage: Stage) -> None:
    with stage.unclaimed("one-interval") as unit:
        message = unit.send()
        receipt = unit.receipt_of(1)

    assert set(receipt) == {"device", "seq", "pack", "index", "origin", "refused"}
    assert receipt["device"] == "one-interval"
    assert receipt["pack"] == message_hash(message)
    assert receipt["origin"] == "sparks.example/ledger"
    assert receipt["refused"] == []
    assert receipt["index"] >= 1


@pytest.mark.parametrize("level", ["observer", "saver", "partner"])
@pytest.mark.parametrize("alg", [EDDSA, ED25519])
def test_twelve_intervals_earn_what_the_programme_says(stage: Stage, alg: int, level: str) -> None:
    name = f"twelve-{-alg}-{level}"
    with stage.home(name, level=level) as home:
        start_s = home.unit.next_start_s
        home.unit.send(A_DAY, alg=alg, base_alone=alg == EDDSA)
        receipt = home.unit.receipt_of(1)
        household = Household(CAPACITY_WH, level)
        awards = total(*(household.earn(start_s + hour * HOUR_S, one) for hour, one in enumerate(A_DAY)))
        earned = sum(awards.values())
        sparks, entries = home.sparks(), home.entries()

    assert sparks == {
        "balance_micro_sparks": earned,
        "held_micro_sparks": 0,
        "available_micro_sparks": earned,
        "deferred_micro_sparks": 0,
        "value_cents": earned // 1_000_000,
        "lifetime_micro_sparks": earned,
        "avoided_mg_co2e": household.avoided_mg_co2e,
    }
    if level == "observer":
        assert entries == []
    else:
        (entry,) = entries
        assert (entry["index"], entry["micro_sparks"], entry["device_id"]) == (receipt["index"], earned, name)
        assert {rule: amount for rule, amount in entry["awards"].items() if amount} == awards


def test_a_unit_earns_no_more_than_the_cap_in_a_day(stage: Stage) -> None:
    bright = [Flows(pv=90_000, load=90_000)] * 2 + [Flows(pv=90_000, load=80_000, export=10_000)] * 3
    with stage.home("bright") as home:
        start_s = home.unit.next_start_s
        home.unit.send(bright)
        home.unit.receipt_of(1)
        household = Household(CAPACITY_WH)
        expected = [household.earn(start_s + hour * HOUR_S, one) for hour, one in enumerate(bright)]
        assert home.sparks()["balance_micro_sparks"] == sum(total(*expected).values()) == CAP_MICRO_SPARKS


def test_energy_since_the_claim_is_theirs_to_see(
    own_stage: AbstractContextManager[Stage], clock: SimulatedClock
) -> None:
    with own_stage as alone:
        alone.deposit()
        with alone.home("seen", start_s=alone.now_s()) as home:
            clock.advance_to(alone.now_s() + 2 * HOUR_S)
            home.unit.send([SUNNY, Flows(load=10, discharge=5, drawn=5)])
            home.unit.receipt_of(1)
            within = {"from": "2026-07-06T16:00:00Z", "to": "2026-07-06T18:00:00Z", "resolution": "hour"}
            energy = alone.signed_in("seen").got("/v1/me/energy", **within)

    names = ("pv_wh", "load_wh", "charge_wh", "discharge_wh", "import_wh", "export_wh")
    assert [tuple(step[name] for name in names) for step in energy["items"]] == [
        (1_000, 600, 0, 0, 0, 400),
        (0, 10, 0, 5, 5, 0),
    ]


def test_a_receipt_comes_after_the_first_pack_and_every_twelve(stage: Stage) -> None:
    with stage.unclaimed("every-twelve") as unit:
        for _ in range(14):
            unit.send(interval_s=60)
        receipt = unit.receipt(lambda receipt: receipt["seq"] >= 12)

    # One receipt speaks for all that was decided together, so the first may cover a few packs.
    assert 1 <= unit.receipts()[0]["seq"] < 12
    assert receipt["pack"] == message_hash(unit.sent[receipt["seq"]])


def test_a_pack_sent_twice_counts_once_and_is_answered_twice(stage: Stage) -> None:
    with stage.home("twice") as home:
        message = home.unit.send()
        first = home.unit.receipt_of(1)
        before = home.sparks()
        home.unit.forget()
        home.unit.publish(message)
        assert home.unit.receipt_of(1)["pack"] == first["pack"]

        assert home.sparks() == before
        assert len(home.entries()) == 1


def test_the_receipt_is_kept_for_a_unit_that_lost_its_disk(stage: Stage) -> None:
    with stage.home("lost-disk") as home:
        home.unit.send()
        home.unit.receipt_of(1)
        login, start_s = home.unit.login, home.unit.next_start_s
    with Unit("lost-disk", login, platform_keys=stage.keys, start_s=start_s) as reborn:
        retained = reborn.receipt_of(1)
        assert reborn.is_retained("receipts")
        reborn.lose_disk(retained)
        reborn.send()
        assert reborn.settle()["refused"] == []


def test_unknown_records_and_soc_are_kept_and_change_nothing(stage: Stage) -> None:
    extra = [{0: "soc", 1: "%EL", 2: 55}, {0: "humour", 4: True}, {0: "inverter:temp", 1: "Cel", 2: 41, "maker": "x"}]
    with stage.home("talkative") as home:
        home.unit.send(extra=extra)
        assert home.unit.receipt_of(1)["refused"] == []
        assert home.sparks()["balance_micro_sparks"] > 0


def test_a_label_that_must_be_understood_refuses_the_pack_in_its_place(stage: Stage) -> None:
    with stage.unclaimed("demanding") as unit:
        unit.send(extra=[{0: "humour", 2: 1, "must_": 1}])
        assert unit.receipt_of(1)["refused"] == [[1, "malformed_pack"]]


def test_a_missing_number_is_asked_for_and_what_came_early_counts_after_it(stage: Stage) -> None:
    with stage.home("early") as home:
        home.unit.send()
        home.unit.receipt_of(1)
        missing = home.unit.signed()
        home.unit.send()
        command = home.unit.command()
        assert stage.operator.got("/v1/devices/early")["gaps"] == [{"from_seq": 2, "to_seq": 2}]
        assert {**command, "id": "", "issued_s": 0, "expires_s": 0} == {
            "device": "early", "id": "", "issued_s": 0, "expires_s": 0, "type": "resend", "from_seq": 2
        }  # fmt: skip
        assert command["issued_s"] <= stage.now_s() < command["expires_s"]
        home.unit.publish(missing)
        receipt = home.unit.receipt_of(3)

        assert receipt["pack"] == message_hash(home.unit.sent[3])
        assert len(home.entries()) == 3


def test_a_gap_pack_gives_up_numbers_that_never_come(stage: Stage) -> None:
    with stage.home("gap") as home:
        first = home.unit.send()
        home.unit.receipt_of(1)
        home.unit.signed()
        home.unit.signed()
        home.unit.send()
        late = home.unit.sent[2]
        home.unit.declare_lost(2, below=4, prev=message_hash(first))
        receipt = home.unit.receipt_of(4)
        assert receipt["pack"] == message_hash(home.unit.sent[4])
        home.unit.publish(late)
        home.unit.send()
        home.unit.settle()

        assert len(home.entries()) == 3
        (row,) = stage.quarantined("gap", reason="declared_lost")
        assert stage.operator.post(f"/v1/quarantine/{row['id']}/replay").status_code == 409


def test_where_the_last_number_is_void_the_receipt_names_the_gap_pack(stage: Stage) -> None:
    with stage.unclaimed("void") as unit:
        first = unit.send()
        unit.receipt_of(1)
        gap = unit.declare_lost(2, below=3, prev=message_hash(first))
        receipt = unit.receipt_of(2)
        assert receipt["pack"] == message_hash(gap)
        unit.lose_disk(receipt)
        unit.send()
        assert unit.settle()["refused"] == []
        unit.forget()
        unit.declare_lost(2, below=3, prev=message_hash(first))
        assert unit.receipt_of(3)["pack"] == message_hash(unit.sent[3])


def test_a_pack_a_little_ahead_waits_until_it_is_due_and_far_ahead_is_refused(
    own_stage: AbstractContextManager[Stage], clock: SimulatedClock
) -> None:
    with own_stage as alone:
        alone.deposit()
        with alone.home("ahead", start_s=alone.now_s()) as home:
            home.unit.send(start_s=alone.now_s() + 30 * HOUR_S)
            assert home.unit.receipt_of(1)["refused"] == [[1, "clock_ahead"]]
            home.unit.send()
            home.unit.send(start_s=alone.now_s() + HOUR_S)
            assert home.unit.receipts()[-1]["seq"] == 1
            clock.advance_to(alone.now_s() + 2 * HOUR_S - 120)
            home.unit.send(start_s=alone.now_s() - 31 * 24 * HOUR_S)
            assert home.unit.settle()["refused"] == [[4, "too_late"]]
            seqs = [entry["device_id"] for entry in replace(home, customer=alone.signed_in("ahead")).entries()]
            assert seqs == ["ahead", "ahead"]


def test_without_a_reserve_sparks_are_deferred_and_a_deposit_releases_them(
    own_stage: AbstractContextManager[Stage],
) -> None:
    with own_stage as alone, alone.home("unfunded") as home:
        start_s = home.unit.next_start_s
        home.unit.send()
        home.unit.receipt_of(1)
        earned = sum(Household(CAPACITY_WH).earn(start_s, SUNNY).values())
        waiting = home.sparks()
        assert [(entry["micro_sparks"], sum(entry["awards"].values())) for entry in home.entries()] == [(0, earned)]
        alone.deposit()
        assert eventually(lambda: home.sparks()["deferred_micro_sparks"] == 0)
        released = home.sparks()

        assert sum(entry["micro_sparks"] for entry in home.entries()) == earned
        assert (waiting["deferred_micro_sparks"], waiting["lifetime_micro_sparks"]) == (earned, 0)
        assert waiting["balance_micro_sparks"] == 0
        assert (released["deferred_micro_sparks"], released["lifetime_micro_sparks"]) == (0, earned)
        assert released["available_micro_sparks"] == earned
