"""How a member makes a call in its own name: its `govern` key signs the call, and there is no token.

Owns the bytes that are signed and the header that shows the signature; who is a member is for others to say. What is
signed names log, member, method, path, time, idempotency key and body: overheard, it is good for the very same call
only, which is answered as the first time.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Final

from contracts.units import Seconds, UnixSeconds
from contracts.wire import cbor, signatures
from services.encoding import bytes_of, text_of

SCHEME: Final = "Sparks-Member"
TOLERANCE_S: Final[Seconds] = 300
"""How far the clocks of a member and the platform may be apart."""
_SHOWN: Final = re.compile(
    SCHEME + r' member="([a-z0-9-]{1,64})", time="([0-9]{1,15})", signature="([A-Za-z0-9_=-]{1,100})"'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberCall:
    """One call as it is signed; `key` is its idempotency key as sent, quotes and all."""

    origin: str
    member_id: str
    method: str
    path: str
    time_s: UnixSeconds
    key: str
    body: bytes

    def to_bytes(self) -> bytes:
        """The deterministic CBOR that is signed."""
        digest = hashlib.sha256(self.body).digest()
        said = [self.origin, self.member_id, self.method, self.path, self.time_s, self.key, digest]
        return cbor.encode(["sparks-member-call", *said])

    def signed(self, seed: bytes) -> str:
        """The value of the header Authorization, by whoever holds the seed of a `govern` key."""
        signature = text_of(signatures.sign(seed, self.to_bytes()))
        return f'{SCHEME} member="{self.member_id}", time="{self.time_s}", signature="{signature}"'


@dataclass(frozen=True, slots=True)
class Shown:
    """What a header says of its call."""

    member_id: str
    time_s: UnixSeconds
    signature: bytes


def parse(authorization: str) -> Shown | None:
    """Read the header; None if it says something else."""
    match = _SHOWN.fullmatch(authorization)
    signature = bytes_of(match[3]) if match else None
    return Shown(match[1], int(match[2]), signature) if match and signature is not None else None
