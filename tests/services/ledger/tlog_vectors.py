"""The transparency-log vectors, made by independent implementations (`tests/vectors/tlog`)."""

import json
from functools import cache
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parents[2] / "vectors" / "tlog"


@cache
def vectors(name: str) -> Any:
    """Return the content of one vector file; do not change it."""
    return json.loads((_FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def hex_list(texts: list[str]) -> list[bytes]:
    """Return the bytes each text spells in hex."""
    return [bytes.fromhex(text) for text in texts]
