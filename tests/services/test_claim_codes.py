"""Claim codes survive being read aloud, typed and misread."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.claim_codes import code_from, hash_of


@given(secret=st.binary(min_size=32, max_size=32))
def test_a_code_is_known_again_however_it_is_typed(secret):
    code = code_from(secret)
    known = hash_of(code)

    assert known is not None
    typed = [code.lower(), code.replace("-", ""), f" {code.replace('-', ' ')}\n"]
    misread = [code.replace("1", "I"), code.replace("1", "l"), code.replace("0", "o")]
    assert {hash_of(text) for text in typed + misread} == {known}


@given(one=st.binary(min_size=10, max_size=10), other=st.binary(min_size=10, max_size=10))
def test_other_secrets_make_other_codes(one, other):
    assert (code_from(one) == code_from(other)) == (one == other)


def test_a_code_comes_in_groups_of_four():
    assert code_from(bytes(32)) == "0000-0000-0000-0000"
    assert code_from(b"\xff" * 32) == "ZZZZ-ZZZZ-ZZZZ-ZZZZ"


@pytest.mark.parametrize("text", ["", "0000-0000-0000-000", "0000-0000-0000-00000", "0000-0000-0000-000U", "é" * 16])
def test_what_can_be_no_code_has_no_hash(text):
    assert hash_of(text) is None
