"""What an old key signs for a new one."""

from contracts.wire.cbor import decode
from contracts.wire.keys import key_change_bytes


def test_a_key_change_names_the_unit_the_key_and_the_first_number() -> None:
    assert decode(key_change_bytes("unit-1", bytes(32), 7)) == ["sparks-key", "unit-1", bytes(32), 7]


def test_a_key_change_has_exactly_the_agreed_bytes() -> None:
    expected = "846a737061726b732d6b657966756e69742d315820" + "ab" * 32 + "1864"

    assert key_change_bytes("unit-1", b"\xab" * 32, 100).hex() == expected
