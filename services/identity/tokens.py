"""Bearer tokens: JWTs signed with the platform's `tokens` key, good for fifteen minutes of the platform's clock."""

import base64
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import Depends
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy import Engine, delete, select

from contracts.units import Seconds, UnixSeconds
from contracts.wire import signatures
from services.clock import Clock
from services.database import reading, transaction
from services.identity.tables import RevokedTokenRow
from services.problems import Problem

TOKEN_S: Final[Seconds] = 900
ALGORITHM: Final = "EdDSA"
CACHED_TOKENS: Final = 16_384
"""A verified token costs one lookup instead of a signature check; a bound, because anybody may send any token."""

_BEARER: Final = HTTPBearer(auto_error=False, bearerFormat="JWT", description="From /v1/sessions or /oauth/token")
ShownToken = Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)]
_REVOKED: Final = RevokedTokenRow.__table__  # type: ignore[attr-defined]


class Scope(StrEnum):
    """What a token is for."""

    CUSTOMER = "customer"
    RETAILER = "retailer"
    FLEET = "fleet"
    PROGRAMME = "programme"
    AUDITOR = "auditor"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, as a verified token says.

    subject      customer id, or an organisation's client id
    retailer_id  for the scope `retailer`, else None
    """

    subject: str
    scopes: frozenset[str]
    retailer_id: str | None
    token_id: str
    expires_s: UnixSeconds


@dataclass(frozen=True, slots=True)
class Issued:
    """A new token, as /oauth/token and /v1/sessions answer it."""

    access_token: str
    expires_in_s: Seconds


class Tokens:
    """Issues and checks tokens; its methods are FastAPI dependencies.

    seed  of the use `tokens`; the key id in a token's header is that of its public key (hex of the COSE kid)
    """

    def __init__(
        self, seed: bytes, *, clock: Clock, engine: Engine, random_bytes: Callable[[int], bytes] = os.urandom
    ) -> None:
        self._private_key = Ed25519PrivateKey.from_private_bytes(seed)
        self._key_id = signatures.key_id(signatures.public_key_of(seed)).hex()
        self._clock = clock
        self._engine = engine
        self._random_bytes = random_bytes
        self._verified = lru_cache(CACHED_TOKENS)(self._verify)
        self._by_scope: dict[Scope, Callable[..., Awaitable[Caller]]] = {}

    def issue(self, subject: str, scopes: frozenset[str], *, retailer_id: str | None = None) -> Issued:
        """Return a token for a caller whose credentials were checked."""
        now_s = self._clock.now_s()
        claims = {
            "sub": subject,
            "scope": " ".join(sorted(scopes)),
            "iat": now_s,
            "exp": now_s + TOKEN_S,
            "jti": self._random_bytes(16).hex(),
        }
        if retailer_id is not None:
            claims["retailer_id"] = retailer_id
        token = jwt.encode(claims, self._private_key, ALGORITHM, headers={"kid": self._key_id})
        return Issued(token, TOKEN_S)

    def revoke(self, caller: Caller) -> None:
        """End a customer's token now; forget the ended ones that have expired since."""
        row = RevokedTokenRow(token_id=caller.token_id, expires_s=caller.expires_s)
        with transaction(self._engine) as session:
            session.execute(delete(_REVOKED).where(_REVOKED.c.expires_s <= self._clock.now_s()))
            session.merge(row)

    def customer(self, shown: ShownToken) -> Caller:
        """Dependency: a signed-in customer. Not `async`, because it asks the database whether they signed out."""
        caller = self._caller_with(Scope.CUSTOMER, shown)
        query = select(_REVOKED.c.token_id).where(_REVOKED.c.token_id == caller.token_id)
        with reading(self._engine) as session:
            has_ended = session.execute(query).first() is not None
        if has_ended:
            raise _unauthorized("This session has ended.")
        return caller

    def organisation(self, scope: Scope) -> Callable[..., Awaitable[Caller]]:
        """Return the dependency for an organisation's client with `scope`; the same one for the same scope."""

        async def caller_with_scope(shown: ShownToken) -> Caller:
            return self._caller_with(scope, shown)

        return self._by_scope.setdefault(scope, caller_with_scope)

    def caller_of(self, token: str) -> Caller:
        """Return whom a token names; one that is forged, malformed or expired raises the problem `unauthorized`."""
        caller = self._verified(token)
        if self._clock.now_s() >= caller.expires_s:
            raise _unauthorized("The access token has expired.")
        return caller

    def _caller_with(self, scope: Scope, shown: HTTPAuthorizationCredentials | None) -> Caller:
        if shown is None:
            raise Problem("unauthorized", "This call needs an access token: Authorization: Bearer ...")
        caller = self.caller_of(shown.credentials)
        if scope not in caller.scopes:
            challenge = {"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{scope}"'}
            raise Problem("forbidden", f"This call needs the scope {scope}.", headers=challenge)
        return caller

    def _verify(self, token: str) -> Caller:
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                self._private_key.public_key(),
                algorithms=[ALGORITHM],
                # Time is the platform's, which a replay simulates; PyJWT would take the machine's.
                options={
                    "require": ["sub", "scope", "exp", "jti"],
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                },
            )
        except (jwt.InvalidTokenError, ValueError) as error:
            raise _unauthorized("The access token is not one of ours.") from error
        return Caller(
            subject=claims["sub"],
            scopes=frozenset(claims["scope"].split()),
            retailer_id=claims.get("retailer_id"),
            token_id=claims["jti"],
            expires_s=claims["exp"],
        )


def published_key(public_key: bytes, *, sparks_use: str) -> dict[str, str]:
    """One key of /.well-known/jwks.json (RFC 8037)."""
    return {
        "kty": "OKP",
        "crv": "Ed25519",
        "x": base64.urlsafe_b64encode(public_key).decode().rstrip("="),
        "kid": signatures.key_id(public_key).hex(),
        "use": "sig",
        "alg": ALGORITHM,
        "sparks_use": sparks_use,
    }


def _unauthorized(detail: str) -> Problem:
    return Problem("unauthorized", detail, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})
