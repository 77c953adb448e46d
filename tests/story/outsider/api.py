"""The platform's HTTP face as a stranger calls it."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from itertools import count
from typing import Any, Final

import httpx

FORGOTTEN: Final = ""
"""In place of a key: send no Idempotency-Key at all."""
HTTP: Final = httpx.Client(timeout=20)
"""Shared by all, because to make one takes longer than most calls."""
_fresh = count(1)


def base64url(raw: bytes) -> str:
    """RFC 4648 section 5, without padding."""
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def from_base64url(text: str) -> bytes:
    """The bytes of an unpadded text."""
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Api:
    """Calls with one bearer token, or none."""

    def __init__(self, base_url: str, token: str | None = None) -> None:
        self._base_url = base_url
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def get(self, path: str, **query: Any) -> httpx.Response:
        """GET."""
        return HTTP.get(f"{self._base_url}{path}", params=query, headers=self._headers)

    def post(self, path: str, body: Any = None, *, key: str | None = None) -> httpx.Response:
        """POST as JSON, with a fresh Idempotency-Key unless one is given."""
        chosen = f"outsider-{next(_fresh)}" if key is None else key
        keyed = {} if chosen == FORGOTTEN else {"Idempotency-Key": chosen}
        sent = {} if body is None else body
        return HTTP.post(f"{self._base_url}{path}", json=sent, headers=self._headers | keyed)

    def call(self, method: str, path: str, body: Any) -> httpx.Response:
        """Any other method, as JSON."""
        return HTTP.request(method, f"{self._base_url}{path}", json=body, headers=self._headers)

    def posted(self, path: str, body: Any = None, *, key: str | None = None) -> dict[str, Any]:
        """The answer of a POST that must succeed."""
        answer = self.post(path, body, key=key)
        assert answer.is_success, (path, answer.status_code, answer.text)
        found: dict[str, Any] = answer.json()
        return found

    def got(self, path: str, **query: Any) -> dict[str, Any]:
        """The answer of a GET that must succeed."""
        answer = self.get(path, **query)
        assert answer.status_code == 200, (path, answer.status_code, answer.text)
        found: dict[str, Any] = answer.json()
        return found


def problem(answer: httpx.Response) -> tuple[int, str]:
    """Status and stable code of an RFC 9457 problem."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    body = answer.json()
    assert body["status"] == answer.status_code
    return answer.status_code, body["code"]


def access_token(base_url: str, client_id: str, client_secret: str) -> str:
    """A bearer token for an organisation, by form-encoded client credentials."""
    form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": client_secret}
    answer = HTTP.post(f"{base_url}/oauth/token", data=form)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert (body["token_type"].lower(), 0 < body["expires_in"] <= 900) == ("bearer", True)
    return str(body["access_token"])


def published_keys(base_url: str) -> dict[str, dict[bytes, bytes]]:
    """The platform's public keys by `sparks_use`, then by kid."""
    found: dict[str, dict[bytes, bytes]] = {}
    for key in HTTP.get(f"{base_url}/.well-known/jwks.json").json()["keys"]:
        assert (key["kty"], key["crv"], key["use"]) == ("OKP", "Ed25519", "sig")
        found.setdefault(key["sparks_use"], {})[bytes.fromhex(key["kid"])] = from_base64url(key["x"])
    return found
