"""The organisations' OAuth clients: retailers, fleets, the programme, auditors."""

import hmac
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Engine

from services.database import reading, transaction
from services.identity.tables import OauthClientRow
from services.identity.tokens import Scope
from services.keys import Keys

OPERATOR_SCOPES: Final = frozenset({Scope.FLEET, Scope.PROGRAMME, Scope.AUDITOR})


@dataclass(frozen=True, slots=True)
class Client:
    """An organisation's client, and what it may ask for."""

    client_id: str
    scopes: frozenset[str]
    retailer_id: str | None


class Clients:
    """The table `oauth_clients`.

    Secrets are 32 random bytes that the platform draws, so a fast keyed hash is right: there is no dictionary to try,
    and without the key (`Keys.derive`) the table alone does not even tell whether a guess is right.
    """

    def __init__(self, engine: Engine, keys: Keys) -> None:
        self._engine = engine
        self._keys = keys

    def admit(self, client: Client, secret: str) -> None:
        """Let a client in with this secret; one that is known gets the new secret and scopes."""
        row = OauthClientRow(
            client_id=client.client_id,
            secret_hash=self._secret_hash(client.client_id, secret),
            scopes=" ".join(sorted(client.scopes)),
            retailer_id=client.retailer_id,
        )
        with transaction(self._engine) as session:
            session.merge(row)

    def admit_operator(self) -> None:
        """Let in the first operator, whose credentials lie in the keys' folder; called at every start."""
        credentials = self._keys.operator()
        self.admit(Client(credentials.name, OPERATOR_SCOPES, None), credentials.secret)

    def proven(self, client_id: str, secret: str) -> Client | None:
        """Return the client if this is its secret, else None."""
        if not client_id.isprintable():
            return None  # no client of ours, and PostgreSQL takes no zero byte
        with reading(self._engine) as session:
            row = session.get(OauthClientRow, client_id)
        shown_hash = self._secret_hash(client_id, secret)
        if row is None or not hmac.compare_digest(row.secret_hash, shown_hash):
            return None
        return Client(row.client_id, frozenset(row.scopes.split()), row.retailer_id)

    def _secret_hash(self, client_id: str, secret: str) -> bytes:
        # A lone surrogate can reach us in a form; it is no secret of ours, but must not be an error either.
        return self._keys.derive("oauth client", client_id.encode(errors="replace"), secret.encode(errors="replace"))
