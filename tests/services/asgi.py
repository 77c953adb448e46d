"""A client that speaks HTTP to an app in this process, with a token, and a new Idempotency-Key for each POST."""

import asyncio
import itertools
from typing import Any

import httpx
from fastapi import FastAPI

_KEYS = (f"test-{n}" for n in itertools.count(1))


class Http:
    """Calls `app`; what it raises becomes the response that a real server would send."""

    def __init__(self, app: FastAPI, *, token: str | None = None) -> None:
        self._app = app
        self._token = token

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.call("GET", path, **options)

    def post(self, path: str, body: object = None, *, key: str | None = None, **options: Any) -> httpx.Response:
        """POST JSON; without a `key` the call is a new one."""
        headers = {"Idempotency-Key": f'"{key or next(_KEYS)}"', **options.pop("headers", {})}
        if body is not None:
            options["json"] = body
        return self.call("POST", path, headers=headers, **options)

    def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        return asyncio.run(self._call(method, path, **options))

    async def _call(self, method: str, path: str, **options: Any) -> httpx.Response:
        headers = dict(options.pop("headers", {}))
        if self._token is not None:
            headers.setdefault("Authorization", f"Bearer {self._token}")
        transport = httpx.ASGITransport(self._app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://sparks.test") as client:
            return await client.request(method, path, headers=headers, **options)
