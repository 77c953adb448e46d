"""Integer formulas as text: what programme.md writes down, put into numbers and worked out from that very text.

A formula has names, integers, `+ - * //`, `min(...)`, `max(...)`, `abs(...)` and `<=` (1 if it holds, else 0).
`//` floors, as everywhere in the programme.
"""

import ast
import re
from collections.abc import Callable, Mapping
from typing import Final

_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")
_FUNCTIONS: Final[dict[str, Callable[..., int]]] = {"min": min, "max": max, "abs": abs}
_OPERATORS: Final[dict[type[ast.operator], Callable[[int, int], int]]] = {
    ast.Add: int.__add__,
    ast.Sub: int.__sub__,
    ast.Mult: int.__mul__,
    ast.FloorDiv: int.__floordiv__,
}


def in_numbers(formula: str, values: Mapping[str, int]) -> str:
    """Return the formula with each name as its number, a negative one in brackets; an unknown name is a KeyError."""

    def number(name: re.Match[str]) -> str:
        if name[0] in _FUNCTIONS:
            return name[0]
        value = values[name[0]]
        return f"({value})" if value < 0 else str(value)

    return _NAME.sub(number, formula)


def worked_out(formula: str) -> int:
    """Return what a formula in numbers comes to; ValueError for anything that is none."""
    try:
        return _value(ast.parse(formula, mode="eval").body)
    except (SyntaxError, ZeroDivisionError, RecursionError, TypeError) as error:
        raise ValueError(f"not a formula: {formula}") from error


def _value(node: ast.expr) -> int:
    match node:
        case ast.Constant(value=int(value)) if type(value) is int:
            return value
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand)
        case ast.BinOp(left=left, op=operator, right=right) if type(operator) in _OPERATORS:
            return _OPERATORS[type(operator)](_value(left), _value(right))
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in _FUNCTIONS:
            return _FUNCTIONS[name](*map(_value, arguments))
        case ast.Compare(left=left, ops=[ast.LtE()], comparators=[right]):
            return int(_value(left) <= _value(right))
    raise ValueError(f"a formula has no {type(node).__name__}")
