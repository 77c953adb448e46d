"""Formulas as text come to what they say, and nothing else is worked out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.arithmetic import in_numbers, worked_out

NUMBERS = st.integers(-(10**9), 10**9)


def test_names_become_their_numbers_and_functions_stay():
    assert in_numbers("min(pv, load) - 2 * pv", {"pv": 5, "load": -3}) == "min(5, (-3)) - 2 * 5"


def test_a_name_that_nobody_knows_is_an_error():
    with pytest.raises(KeyError):
        in_numbers("pv + sun", {"pv": 1})


@given(a=NUMBERS, b=NUMBERS, c=NUMBERS.filter(bool))
def test_what_a_formula_comes_to_is_what_python_makes_of_it(a, b, c):
    formula = in_numbers("max(a - b, 0) * b // c + abs(a)", {"a": a, "b": b, "c": c})

    assert worked_out(formula) == max(a - b, 0) * b // c + abs(a)


@given(a=NUMBERS, b=NUMBERS)
def test_a_comparison_comes_to_one_or_zero(a, b):
    assert worked_out(in_numbers("a <= b", {"a": a, "b": b})) == (a <= b)


@pytest.mark.parametrize(
    "text", ["", "1 +", "1 / 2", "2 ** 9", "1.5", "True", "'a'", "open('x')", "min", "a", "1 // 0", "min()", "1 < 2"]
)
def test_anything_else_is_no_formula(text):
    with pytest.raises(ValueError, match="formula"):
        worked_out(text)
