"""Lines of a CSV file that others wrote, and the exact numbers in their cells."""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

from device_sim.measured.rows import UnreadableFile

# As printed by any program for any float64, and nothing else: no blanks inside, no NaN, no other alphabet's digits.
DECIMAL: Final = re.compile(r"[+-]?(\d{1,400}(\.\d{0,1100})?|\.\d{1,1100})([eE][+-]?\d{1,3})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Line:
    """One line that is not blank: its number from 1 and its cells without surrounding blanks.

    is_broken   its quoting makes no sense; the cells are then what lies between the commas
    """

    number: int
    cells: list[str]
    is_broken: bool


def lines_of(path: Path) -> Iterator[Line]:
    """Yield the lines of a file, each parsed alone, so that one stray quote cannot swallow the rows after it.

    A quoted line break is therefore two unreadable lines. A byte order mark is dropped; bytes that are not UTF-8
    stay visible as `\\xNN`, so two names that differ in such a byte remain two names.
    Raises UnreadableFile.
    """
    try:
        with path.open(encoding="utf-8-sig", errors="backslashreplace", newline=None) as file:
            for number, text in enumerate(file, start=1):
                if text.strip():
                    yield _line(number, text)
    except OSError as error:
        raise UnreadableFile(f"{path}: {error.strerror}") from error


def header_of(lines: Iterator[Line]) -> list[str]:
    """Take the first line that is not blank as column names; an empty list if there is none."""
    first = next(lines, None)
    return first.cells if first is not None and not first.is_broken else []


def exact(text: str) -> Fraction | None:
    """Return the decimal number that `text` writes, exactly, or None if it writes none."""
    return Fraction(text) if DECIMAL.fullmatch(text) else None


def whole(text: str) -> int | None:
    """Return the integer that `text` writes (`300` and `300.0` are the same), or None if it writes none."""
    number = exact(text)
    return number.numerator if number is not None and number.denominator == 1 else None


def _line(number: int, text: str) -> Line:
    try:
        cells = next(csv.reader([text], strict=True, skipinitialspace=True))
        return Line(number, [cell.strip() for cell in cells], is_broken=False)
    except csv.Error:
        return Line(number, [cell.strip(' "\n') for cell in text.split(",")], is_broken=True)
