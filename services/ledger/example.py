"""An invented pack as a payload has it: what Zstandard may know of telemetry before it reads any.

Nobody's readings, so that it may lie in clear in files from which people are erased. Where contracts change what a pack
or its answer says, payloads still fit, and take a little more.
"""

from functools import cache
from typing import Final

import cbor2

from contracts.commands import RecordPack, Request, to_bytes
from contracts.wire import cbor, cose, packs
from contracts.wire.packs import Interval, Pack

_UNIT: Final = "unit-00000001"
_NOTHING: Final = bytes(32)
_INTERVALS: Final = 12
_ANSWER: Final = {
    "seq": 1,
    "pack": _NOTHING,
    "awards": {"carbon": 0, "self_supply": 0, "green_export": 0, "event_response": 0},
    "device": _UNIT,
    "holder": "00000000000000000000000000000000",
    "outcome": "accepted",
    "deferred": False,
    "micro_sparks": 0,
    "avoided_mg_co2e": 0,
}
_REFUSAL: Final = {"seq": 1, "pack": _NOTHING, "reason": "energy_imbalance", "outcome": "refused"}


@cache
def telemetry() -> bytes:
    """The bytes of a pack with many intervals and of one with one, each with its answer; the likeliest last."""
    few = [[_request(_INTERVALS), bytes(16), cbor.encode(_REFUSAL)], [_request(1), bytes(16), cbor.encode(_ANSWER)]]
    return b"".join(map(cbor2.dumps, few))


def _request(intervals: int) -> bytes:
    measured = tuple(Interval(1_700_000_000 + 300 * n, 300, 300, 120, 100, 0, 0, 80, 50) for n in range(intervals))
    payload = packs.write(Pack(_UNIT, 1, packs.FIRST_PREV, measured))
    message = cose.build(payload, content_type=cose.SENML_CBOR, seed=_NOTHING)
    return to_bytes(Request(_NOTHING, _NOTHING, RecordPack(_UNIT, message)))
