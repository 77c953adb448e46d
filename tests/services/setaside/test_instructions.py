"""What units are to be told is kept until it is sent, and nobody is asked too often."""

import pytest

from contracts.wire import receipts
from contracts.wire.receipts import Resend
from services.database import transaction
from services.setaside import instructions


@pytest.fixture
def connection(engine):
    with transaction(engine) as session:
        yield session.connection()


def test_instructions_are_sent_in_their_order_and_forgotten_then(connection):
    asked = [Resend(f"unit-{n}", f"id-{n}", 100, 200, n) for n in (2, 1)]
    instructions.instruct(connection, asked)

    waiting = instructions.pending(connection, limit=10)

    assert [receipts.read_instruction(one.payload) for one in waiting] == asked
    assert [one.device_id for one in waiting] == ["unit-2", "unit-1"]
    assert instructions.pending(connection, limit=1) == waiting[:1]
    instructions.sent(connection, [waiting[0].id])
    assert instructions.pending(connection, limit=10) == waiting[1:]


def test_a_unit_is_asked_again_only_after_a_pause(connection):
    def claim(*device_ids: str, now_s: int) -> set[str]:
        return instructions.claim_asks(connection, device_ids, now_s=now_s, pause_s=30)

    assert claim("unit-1", now_s=1_000) == {"unit-1"}
    assert claim("unit-1", "unit-2", now_s=1_029) == {"unit-2"}
    assert claim("unit-1", now_s=1_030) == {"unit-1"}
    assert claim("unit-1", now_s=900) == {"unit-1"}
