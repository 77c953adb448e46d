"""What survives a restart of a member's node, whoever chose the text of it."""

import pytest

from services import database
from services.ledger.differing import Difference
from services.member.memory import TEXT_LENGTH_MAX, Memory


@pytest.mark.parametrize("text", ["\0", "x" * (TEXT_LENGTH_MAX + 1)], ids=["NUL", "long"])
def test_a_refusal_is_kept_whatever_was_sent(database_url: str, text: str):
    database.migrate(database_url)
    engine = database.engine(database_url)
    try:
        memory = Memory(engine)
        memory.note(Difference(7, "rows_read", f"the row {text}", text, text), source="http://operator", seen_s=1)

        (standing,) = memory.standing()
        assert standing.difference.index == 7
        assert len(standing.difference.theirs) == min(len(text), TEXT_LENGTH_MAX)
    finally:
        engine.dispose()
