"""The quarantine: what is shown, replayed and discarded, and what never is."""

import pytest

from contracts.commands import RecordPack
from services.database import reading
from services.encoding import text_of
from services.setaside import quarantine
from services.setaside.quarantine import RAW_BYTES_MAX, State
from tests.services.ledger.builders import Home, request
from tests.services.operations.conftest import Desk, an_aside, code_of, put_aside


def test_what_was_set_aside_is_shown_with_its_bytes_and_counts(desk):
    put_aside(desk, an_aside(raw=b"one", seen_s=1_782_813_600), an_aside(raw=b"one", seen_s=1_782_813_660))

    shown = desk.fleet.get("/v1/quarantine").json()

    assert shown == {
        "items": [
            {
                "id": shown["items"][0]["id"],
                "device_id": "unit-1",
                "reason": "bad_signature",
                "seq": None,
                "entry_index": None,
                "count": 2,
                "first_seen": "2026-06-30T10:00:00Z",
                "last_seen": "2026-06-30T10:01:00Z",
                "raw": text_of(b"one"),
                "size_bytes": 3,
                "state": "open",
                "note": None,
            }
        ],
        "next_cursor": None,
    }


def test_the_quarantine_is_narrowed_by_reason_and_unit_and_read_a_page_at_a_time(desk):
    put_aside(
        desk,
        *(an_aside(device_id=f"unit-{n}", reason=reason) for n in (1, 2) for reason in ("too_large", "unknown_key")),
    )

    def listed(query: str) -> tuple[list[tuple[str, str]], str | None]:
        answer = desk.fleet.get(f"/v1/quarantine?{query}").json()
        return [(item["device_id"], item["reason"]) for item in answer["items"]], answer["next_cursor"]

    assert listed("reason=too_large")[0] == [("unit-1", "too_large"), ("unit-2", "too_large")]
    assert listed("device_id=unit-2&reason=unknown_key")[0] == [("unit-2", "unknown_key")]
    first, cursor = listed("limit=3")
    rest, end = listed(f"limit=3&cursor={cursor}")
    assert len({*first, *rest}) == 4
    assert end is None
    assert code_of(desk.fleet.get("/v1/quarantine?cursor=eA")) == (400, "invalid_cursor")
    assert code_of(desk.fleet.get("/v1/quarantine?state=lost")) == (422, "validation_failed")


def test_a_message_of_the_first_steps_is_given_back_to_ingestion(desk):
    row_id = put_aside(desk, an_aside(reason="unknown_device"))

    answer = desk.fleet.post(f"/v1/quarantine/{row_id}/replay", key="k")
    again = desk.fleet.post(f"/v1/quarantine/{row_id}/replay", key="k")

    assert answer.status_code == again.status_code == 202
    assert answer.json() == again.json() == {"id": row_id, "state": "replay_requested"}
    assert _state(desk, row_id) is State.REPLAY_REQUESTED


def test_a_refused_pack_is_decided_once_more_when_its_nameplate_was_corrected(desk):
    home, row_id = _a_refused_pack(desk)
    refused = desk.fleet.post(f"/v1/quarantine/{row_id}/replay", key="too early")
    assert code_of(refused) == (409, "refused_again")
    desk.fleet.call("PATCH", f"/v1/devices/{home.device_id}", json={"pv_nameplate_w": 60_000})

    answer = desk.fleet.post(f"/v1/quarantine/{row_id}/replay")

    assert answer.status_code == 200
    assert answer.json()["state"] == "replayed"
    assert answer.json()["micro_sparks"] >= 0
    assert _state(desk, row_id) is State.REPLAYED
    assert desk.fleet.get("/v1/quarantine").json()["items"] == []
    assert code_of(desk.fleet.post(f"/v1/quarantine/{row_id}/replay")) == (409, "not_refused")
    assert code_of(desk.fleet.post(f"/v1/quarantine/{row_id}/replay", key="too early")) == (409, "refused_again")


@pytest.mark.parametrize("reason", ["equivocation", "declared_lost"])
def test_what_other_bytes_or_the_unit_itself_settled_is_never_replayed(desk, reason):
    row_id = put_aside(desk, an_aside(reason=reason, seq=3))

    assert code_of(desk.fleet.post(f"/v1/quarantine/{row_id}/replay")) == (409, "invalid_state")


@pytest.mark.parametrize(
    ("raw", "size_bytes"), [(None, 300), (bytes(RAW_BYTES_MAX + 1), RAW_BYTES_MAX + 1)], ids=["not kept", "cut"]
)
def test_a_message_whose_bytes_are_not_all_here_is_not_replayed(desk, raw, size_bytes):
    row_id = put_aside(desk, an_aside(raw=raw, size_bytes=size_bytes))

    assert code_of(desk.fleet.post(f"/v1/quarantine/{row_id}/replay")) == (409, "invalid_state")


def test_a_discarded_message_leaves_the_list_and_keeps_its_reason(desk):
    row_id = put_aside(desk, an_aside())

    answer = desk.fleet.post(f"/v1/quarantine/{row_id}/discard", {"reason": "installer's test"}, key="k")

    assert answer.json() == {"id": row_id, "state": "discarded"}
    assert desk.fleet.get("/v1/quarantine").json()["items"] == []
    (kept,) = desk.fleet.get("/v1/quarantine?state=discarded").json()["items"]
    assert kept["note"] == "installer's test"
    assert code_of(desk.fleet.post(f"/v1/quarantine/{row_id}/replay")) == (409, "invalid_state")
    other = desk.fleet.post(f"/v1/quarantine/{row_id}/discard", {"reason": "another"})
    assert code_of(other) == (409, "invalid_state")


def _state(desk: Desk, row_id: str) -> State:
    with reading(desk.books.engine) as session:
        row = quarantine.get(session.connection(), int(row_id))
    assert row is not None
    return row.state


def _a_refused_pack(desk: Desk) -> tuple[Home, str]:
    """A home whose first pack was above its nameplate, and the pack's row in the quarantine."""
    home = Home()
    desk.books.accept(*home.joining())
    message = home.message(pv_wh=2_000)
    (decided,) = desk.books.accept(request(RecordPack(home.device_id, message)))
    assert decided.result["reason"] == "above_nameplate"
    aside = an_aside(raw=message, reason="above_nameplate", seq=1, entry_index=decided.index)
    return home, put_aside(desk, aside)
