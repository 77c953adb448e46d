"""The ledger's HTTP face on a free port, served by uvicorn in a thread as it is in production."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import uvicorn
from fastapi import APIRouter, FastAPI

from benchmarks import servers
from contracts.wire import signatures
from services import problems
from services.ledger.app import internal_router, log_router
from services.ledger.local import LocalLedger
from services.ledger.notes import KeyType, VerifierKey
from services.ledger.queries import Queries
from tests.services.ledger import builders

TOKEN: Final = "internal token"
LOG_KEY: Final = VerifierKey(
    builders.IDENTITY.origin, KeyType.ED25519, signatures.public_key_of(builders.IDENTITY.seed)
)
START_S_MAX: Final = 30


class _Announced(uvicorn.Server):
    """Says when it listens, so that nobody has to try."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listens = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listens.set()


def application(ledger: LocalLedger, queries: Queries) -> FastAPI:
    """Both faces, with problems as every program answers them."""
    app = FastAPI()
    problems.install(app)
    app.include_router(log_router(queries, LOG_KEY))
    app.include_router(internal_router(ledger, TOKEN))
    return app


@contextmanager
def served(app: FastAPI, *, port: int | None = None) -> Iterator[str]:
    """Give the base URL while the server runs."""
    port = port or servers.free_port()
    server = _Announced(uvicorn.Config(app, host="127.0.0.1", port=port, log_config=None))
    thread = threading.Thread(target=server.run, name="ledger-http")
    thread.start()
    try:
        assert server.listens.wait(START_S_MAX)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def serving_routers(*routers: APIRouter) -> Iterator[str]:
    """Give the base URL of a program with these routers."""
    app = FastAPI()
    problems.install(app)
    for router in routers:
        app.include_router(router)
    with served(app) as url:
        yield url
