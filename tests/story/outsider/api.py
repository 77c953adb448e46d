"""The platform's HTTP face as a stranger calls it."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from itertools import count
from typing import Any, Final

import httpx

FORGOTTEN: Final = ""
"""In place of a key: send no Idempotency-Key at all."""
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
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.base_url = base_url
        self._http = httpx.Client(base_url=base_url, headers=headers, timeout=20)

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def get(self, path: str, **query: Any) -> httpx.Response:
        """GET."""
        return self._http.get(path, params=query)

    def post(self, path: str, body: Any = None, *, key: str | None = None) -> httpx.Response:
        """POST as JSON, with a fresh Idempotency-Key unless one is given."""
        chosen = f"outsider-{next(_fresh)}" if key is None else key
        headers = {} if chosen == FORGOTTEN else {"Idempotency-Key": chosen}
        return self._http.post(path, json={} if body is None else body, headers=headers)

    def call(self, method: str, path: str, body: Any) -> httpx.Response:
        """Any other method, as JSON."""
        return self._http.request(method, path, json=body)

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
    answer = httpx.post(f"{base_url}/oauth/token", data=form)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert (body["token_type"].lower(), 0 < body["expires_in"] <= 900) == ("bearer", True)
    return str(body["access_token"])


def published_keys(base_url: str) -> dict[str, dict[bytes, bytes]]:
    """The platform's public keys by `sparks_use`, then by kid."""
    found: dict[str, dict[bytes, bytes]] = {}
    for key in httpx.get(f"{base_url}/.well-known/jwks.json").json()["keys"]:
        assert (key["kty"], key["crv"], key["use"]) == ("OKP", "Ed25519", "sig")
        found.setdefault(key["sparks_use"], {})[bytes.fromhex(key["kid"])] = from_base64url(key["x"])
    return found
