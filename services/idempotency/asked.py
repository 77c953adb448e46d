"""The `Idempotency-Key` header, and the two hashes by which a request is known again."""

import hashlib
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import Depends, Header, Request

from services.identity import Caller
from services.keys import Keys
from services.problems import Problem

HEADER: Final = "Idempotency-Key"
KEY_LENGTH_MAX: Final = 255

# RFC 9651 3.3.3: a String is printable ASCII in quotes, with \" and \\ escaped. Unquoted keys are common in practice.
_QUOTED: Final = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"')
_BARE: Final = re.compile(r"[!#-+\--:<-~]+")

_HEADER = Header(
    alias=HEADER,
    description="Of your choice, unique to what is asked; the same key and body get the same answer.",
    examples=['"8e03978e-40d5-43dd-bc93-6894a57f9324"'],
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked, for the ledger and for `Answers`.

    id      SHA-256 over caller, method, path and key
    digest  SHA-256 over the body as parsed JSON, no body being `{}`
    """

    id: bytes
    digest: bytes


def asked_by(caller: Callable[..., Any]) -> Callable[..., Awaitable[Asked]]:
    """Return the dependency that reads what `caller` (a dependency that gives a Caller) asked.

    The key is needed; `problems` has the answer if it is missing.
    """

    async def asked(
        request: Request, who: Annotated[Caller, Depends(caller)], idempotency_key: Annotated[str, _HEADER]
    ) -> Asked:
        return await _asked(request, who.subject, idempotency_key)

    return asked


async def asked_by_anyone(request: Request, idempotency_key: Annotated[str | None, _HEADER] = None) -> Asked | None:
    """Dependency of calls without a caller: None without a key, whose scope is the path alone."""
    return None if idempotency_key is None else await _asked(request, "", idempotency_key)


def part_of(asked: Asked, name: str) -> Asked:
    """What is asked in one part of a call that is several ledger commands; `name` tells the parts apart."""
    return Asked(hashlib.sha256(asked.id + name.encode()).digest(), asked.digest)


def keyed_digest(keys: Keys, asked: Asked | None) -> Asked | None:
    """The same request with a digest that only this platform can make: for bodies that hold a password.

    Else whoever reads the digest in a table could try passwords against it, fast and alone.
    """
    return None if asked is None else Asked(asked.id, keys.derive("digest of a secret body", asked.digest))


def parse_key(text: str) -> str | None:
    """Return the key that a header says, quoted or bare, or None if it is malformed."""
    text = text.strip(" ")
    if match := _QUOTED.fullmatch(text):
        key = re.sub(r"\\(.)", r"\1", match[1])
    elif _BARE.fullmatch(text):
        key = text
    else:
        return None
    return key if 1 <= len(key) <= KEY_LENGTH_MAX else None


async def _asked(request: Request, subject: str, header: str) -> Asked:
    key = parse_key(header) if len(request.headers.getlist(HEADER)) == 1 else None
    if key is None:
        detail = f"{HEADER} is one quoted string or token of 1 to {KEY_LENGTH_MAX} printable ASCII characters."
        raise Problem("idempotency_key_malformed", detail)
    # JSON, so that no caller, path or key can be read as a part of its neighbour.
    named = json.dumps([subject, request.method, request.url.path, key])
    return Asked(hashlib.sha256(named.encode()).digest(), _digest(await request.body()))


def _digest(body: bytes) -> bytes:
    """SHA-256 of the body as canonical JSON; of its bytes, if it is none (then the call refuses it anyway).

    No body at all says what `{}` says: where a body may be left out, each of its members may be.
    Half of a surrogate pair, which JSON can spell, raises UnicodeEncodeError: no database takes it (`problems`).
    """
    try:
        parsed = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        return hashlib.sha256(body).digest()
    canonical = json.dumps(parsed, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).digest()
