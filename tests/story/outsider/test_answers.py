"""Packs that do not count: each ends where interfaces.md says, with its reason, and stops nobody."""

from collections.abc import Callable

import cbor2
import pytest

from tests.story.outsider.api import base64url, from_base64url, problem
from tests.story.outsider.cose import SigningKey, encoded
from tests.story.outsider.packs import Flows, message_hash
from tests.story.outsider.rewards import Household
from tests.story.outsider.stage import CAPACITY_WH, Stage, eventually
from tests.story.outsider.unit import HOUR_S, Unit

Bad = Callable[[Unit], bytes]


def test_a_refused_pack_uses_its_number_and_its_bytes_stay(stage: Stage) -> None:
    with stage.home("refused") as home:
        unit = home.unit
        unit.send()
        unit.receipt_of(1)
        late_s = unit.next_start_s
        bad = {
            "interval_shape": unit.send(start_s=late_s, interval_s=90),
            "interval_crosses_hour": unit.send(start_s=late_s + 60, interval_s=HOUR_S),
            "interval_overlap": unit.send(start_s=late_s - HOUR_S),
            "negative_energy": unit.send([Flows(pv=-1, load=-1)], start_s=late_s),
            "above_nameplate": unit.send([Flows(pv=200_000, export=200_000)], start_s=late_s),
            "energy_imbalance": unit.send([Flows(pv=1_000, load=1)], start_s=late_s),
        }
        malformed = unit.send(start_s=late_s, extra=[{0: "pv", 1: "Wh", 2: 1}])
        right = unit.prev
        unit.prev = bytes(32)
        broken = unit.send(start_s=late_s)
        unit.prev = message_hash(broken)
        assert right != unit.prev
        for _ in range(3):
            unit.send()
        receipt = unit.receipt_of(12)
        reasons = [*bad, "malformed_pack", "broken_chain"]

        assert receipt["refused"] == [[seq, reason] for seq, reason in enumerate(reasons, start=2)]
        assert len(home.entries()) == 4
        rows = {row["reason"]: from_base64url(row["raw"]) for row in stage.quarantined("refused")}
        assert rows == {**bad, "malformed_pack": malformed, "broken_chain": broken}


MALFORMED: dict[str, list[dict[int | str, object]]] = {
    "a flow twice": [{0: "pv", 1: "Wh", 2: 1}],
    "another base": [{-4: "Wh", 0: "note", 2: 1}],
    "too full": [{0: "soc", 1: "%EL", 2: 101}],
    "an integer beyond": [{0: "note", 2: 2**53 + 1}],
    "must be understood": [{0: "note", 2: 1, "must_": 1}],
    "a lonely flow": [{0: "pv", 1: "Wh", 2: 1, 6: HOUR_S}],
}


def test_a_malformed_pack_with_a_number_is_refused_in_its_place(stage: Stage) -> None:
    with stage.unclaimed("malformed") as unit:
        start_s = unit.next_start_s
        for extra in MALFORMED.values():
            unit.send(start_s=start_s, extra=extra)
        unit.send([Flows(pv=1_000_001, export=1_000_001)], start_s=start_s)
        unit.send([Flows(load=1, drawn=1)] * 201, start_s=start_s, interval_s=60)
        unit.send([Flows(load=1, drawn=1)] * 2, start_s=start_s)
        unit.settle()
        refused = [tuple(one) for receipt in unit.receipts() for one in receipt["refused"]]

    assert refused == [(seq, "malformed_pack") for seq in range(1, len(MALFORMED) + 3)]


def test_a_nameplate_is_corrected_and_a_refused_pack_decided_once_more(stage: Stage) -> None:
    strong = Flows(pv=130_000, export=130_000)
    with stage.home("stronger") as home:
        start_s = home.unit.next_start_s
        home.unit.send([strong])
        assert home.unit.receipt_of(1)["refused"] == [[1, "above_nameplate"]]
        (row,) = stage.quarantined("stronger", reason="above_nameplate")
        assert stage.operator.call("PATCH", "/v1/devices/stronger", {"pv_nameplate_w": 150_000}).is_success
        assert stage.operator.post(f"/v1/quarantine/{row['id']}/replay").is_success

        assert eventually(lambda: home.sparks()["balance_micro_sparks"] > 0)
        awards = Household(CAPACITY_WH).earn(start_s, strong)
        assert home.sparks()["balance_micro_sparks"] == sum(awards.values())


def test_a_unit_speaks_only_on_its_own_topics(stage: Stage) -> None:
    with stage.unclaimed("spoken-for") as owner, stage.unclaimed("talks-for-others") as unit:
        unit.device_id = "spoken-for"
        unit.publish(owner.signed())
        unit.device_id = "talks-for-others"
        unit.send()
        unit.receipt_of(1)

    assert stage.operator.got("/v1/devices/spoken-for")["last_seq"] == 0
    assert stage.quarantined("spoken-for") == []


def forged(unit: Unit) -> bytes:
    message = unit.signed()
    return message[:-1] + bytes([message[-1] ^ 1])


def tampered(unit: Unit) -> bytes:
    protected, unprotected, payload, signature = cbor2.loads(unit.signed()[1:])
    records = cbor2.loads(payload)
    records[4][2] += 1
    return b"\xd2" + encoded([protected, unprotected, encoded(records), signature])


def payload_of(message: bytes) -> bytes:
    payload: bytes = cbor2.loads(message[1:])[2]
    return payload


def of_a_stranger(unit: Unit) -> bytes:
    unit.key = SigningKey.named("a stranger")
    return unit.signed()


def with_a_byte_after(unit: Unit) -> bytes:
    return unit.signed() + b"\x00"


def of_another_content(unit: Unit) -> bytes:
    return unit.key.sign1(payload_of(unit.signed()), content_type=60)


def of_another_algorithm(unit: Unit) -> bytes:
    return unit.key.sign1(payload_of(unit.signed()), alg=-7)


def not_deterministic(unit: Unit) -> bytes:
    return unit.key.sign1(b"\x9f\xff")


def too_large(unit: Unit) -> bytes:
    return unit.signed() + bytes(32 * 1024)


def without_number(unit: Unit) -> bytes:
    return unit.key.sign1(encoded([{0: "pv", 1: "Wh", 2: 1}]))


NOT_PINNED: dict[str, tuple[Bad, str]] = {
    "forged": (forged, "bad_signature"),
    "tampered": (tampered, "bad_signature"),
    "strange-key": (of_a_stranger, "unknown_key"),
    "byte-after": (with_a_byte_after, "malformed_cose"),
    "other-content": (of_another_content, "malformed_cose"),
    "other-alg": (of_another_algorithm, "unsupported_algorithm"),
    "indefinite": (not_deterministic, "malformed_cose"),
    "noise": (lambda _: b"hello", "malformed_cose"),
    "empty": (lambda _: b"", "malformed_cose"),
    "too-large": (too_large, "too_large"),
    "no-number": (without_number, "malformed_pack"),
}


@pytest.mark.parametrize("name", NOT_PINNED)
def test_what_cannot_be_pinned_on_a_unit_takes_no_number(stage: Stage, name: str) -> None:
    make, reason = NOT_PINNED[name]
    with stage.unclaimed(name) as unit:
        message = make(unit)
        unit.publish(message)
        unit.publish(message)
        unit.seq, unit.prev, unit.key = 0, bytes(32), SigningKey.named(name)
        unit.send()
        assert unit.receipt_of(1)["refused"] == []

        (row,) = stage.quarantined(name)
    assert (row["reason"], row["count"], row["device_id"]) == (reason, 2, name)
    kept = from_base64url(row["raw"])
    assert message.startswith(kept)
    assert len(kept) == min(len(message), 32 * 1024)
    assert row["first_seen"] <= row["last_seen"]


def test_a_pack_of_another_unit_is_refused_in_its_place(stage: Stage) -> None:
    with stage.unclaimed("impostor") as unit:
        unit.device_id = "somebody-else"
        message = unit.signed()
        unit.device_id = "impostor"
        unit.publish(message)
        assert unit.receipt_of(1)["refused"] == [[1, "wrong_device"]]


def test_other_bytes_for_a_number_are_an_equivocation(stage: Stage) -> None:
    with stage.home("equivocal") as home:
        unit = home.unit
        first = unit.send()
        unit.receipt_of(1)
        unit.seq, unit.prev = 0, bytes(32)
        other = unit.signed([Flows(pv=1, load=1)])
        unit.forget()
        unit.publish(other)
        assert unit.receipt_of(1)["pack"] == message_hash(first)

        (row,) = stage.quarantined("equivocal", reason="equivocation")
        assert from_base64url(row["raw"]) == other
        assert stage.operator.post(f"/v1/quarantine/{row['id']}/replay").status_code == 409
        assert stage.operator.post(f"/v1/quarantine/{row['id']}/discard").status_code == 422
        assert stage.operator.post(f"/v1/quarantine/{row['id']}/discard", {"reason": "seen"}).is_success
        assert len(home.entries()) == 1


def test_the_first_bytes_win_for_a_pack_that_waits(stage: Stage) -> None:
    with stage.unclaimed("two-faced") as unit:
        first = unit.signed()
        waiting = unit.send()
        unit.seq, unit.prev = 1, message_hash(first)
        unit.send([Flows(pv=1, load=1)])
        unit.publish(first)
        unit.sent[2] = waiting

        assert unit.receipt(lambda receipt: receipt["seq"] == 2)["pack"] == message_hash(waiting)
        assert reasons(stage, "two-faced") == ["equivocation"]


def test_a_number_too_far_ahead_is_set_aside_without_its_bytes(stage: Stage) -> None:
    with stage.unclaimed("far-ahead") as unit:
        unit.seq = 4_097
        unit.send()
        unit.seq, unit.prev = 0, bytes(32)
        unit.send()
        unit.receipt_of(1)

        (row,) = stage.quarantined("far-ahead")
        assert row["reason"] == "too_far_ahead"
        assert not row["raw"]


def reasons(stage: Stage, device_id: str) -> list[str]:
    return [row["reason"] for row in stage.quarantined(device_id)]


def test_a_suspended_unit_is_quarantined_and_asked_again_when_it_is_resumed(stage: Stage) -> None:
    with stage.unclaimed("suspended") as unit:
        unit.send()
        unit.receipt_of(1)
        assert stage.operator.post("/v1/devices/suspended/suspend").is_success
        unit.send()
        assert eventually(lambda: reasons(stage, "suspended") == ["device_suspended"])
        assert stage.operator.post("/v1/devices/suspended/resume").is_success
        command = unit.command()
        assert (command["type"], command["from_seq"]) == ("resend", 2)
        unit.publish(unit.sent[2])
        assert unit.settle()["refused"] == []


def test_a_key_is_rotated_with_the_old_key_s_signature(stage: Stage) -> None:
    with stage.home("rotated") as home:
        unit, old = home.unit, home.unit.key
        unit.send()
        unit.receipt_of(1)
        new = SigningKey.named("the new key")
        body = {"public_key": base64url(new.public), "from_seq": 3}
        statement = encoded(["sparks-key", "rotated", new.public, 3])
        path = "/v1/devices/rotated/keys"
        wrong = base64url(new.signature(statement))
        assert stage.operator.post(path, {**body, "signature": wrong}).status_code in range(400, 500)
        early = base64url(old.signature(encoded(["sparks-key", "rotated", new.public, 1])))
        assert stage.operator.post(path, {**body, "from_seq": 1, "signature": early}).status_code == 409
        assert stage.operator.post(path, {**body, "signature": base64url(old.signature(statement))}).is_success
        unit.send()
        second = unit.prev
        unit.send()  # number 3, under the old key
        unit.key, unit.seq, unit.prev = new, 2, second
        unit.send()
        assert unit.settle()["refused"] == []

        (row,) = stage.quarantined("rotated")
        assert row["reason"] == "unknown_key"


def test_a_revoked_key_verifies_nothing(stage: Stage) -> None:
    with stage.unclaimed("revoked") as unit:
        unit.send()
        unit.receipt_of(1)
        new = SigningKey.named("after the revocation")
        stage.operator.posted("/v1/devices/revoked/keys", {"public_key": base64url(new.public), "from_seq": 3})
        unit.send()
        first = message_hash(unit.sent[1])
        assert eventually(lambda: reasons(stage, "revoked") == ["unknown_key"])
        unit.key = new
        unit.declare_lost(2, below=3, prev=first)
        unit.send()
        assert unit.settle()["refused"] == []


def test_quarantine_is_only_for_the_fleet(stage: Stage) -> None:
    with stage.home("curious") as home:
        assert problem(home.customer.get("/v1/quarantine"))[0] == 403
