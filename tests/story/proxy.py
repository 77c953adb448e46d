"""The public face of the deployed shape, routed as `deploy/nginx.conf` says; nginx itself is not needed for that."""

import re
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

NGINX_CONF = Path(__file__).parents[2] / "deploy" / "nginx.conf"
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
LOCATION = re.compile(
    r"location (?P<exact>= )?(?P<path>\S+) \{ (?:proxy_pass http://(?P<service>\w+):8000|return 404);"
)


def service_of(path: str) -> str | None:
    """Which service nginx would pass a path on to: an exact location first, then the longest prefix."""
    found = [match.groupdict() for match in LOCATION.finditer(NGINX_CONF.read_text())]
    exact = [one for one in found if one["exact"] and one["path"] == path]
    prefixes = [one for one in found if not one["exact"] and path.startswith(one["path"])]
    best = exact[0] if exact else max(prefixes, key=lambda one: len(one["path"]))
    return best["service"]


@contextmanager
def proxy(base_urls: Mapping[str, str]) -> Iterator[str]:
    """A base URL in front of the services at `base_urls`."""
    with socket.create_server(("127.0.0.1", 0)) as listening, httpx.Client() as http:

        def forward(request: Request, body: bytes) -> Response:
            service = service_of(request.url.path)
            if service is None:
                return Response(status_code=404)
            url = f"{base_urls[service]}{request.url.path}"
            headers = {k: v for k, v in request.headers.items() if k not in ("host", "content-length")}
            answer = http.request(request.method, url, params=request.query_params, headers=headers, content=body)
            kept = {k: v for k, v in answer.headers.items() if k not in ("content-length", "transfer-encoding")}
            return Response(answer.content, answer.status_code, kept)

        async def handle(request: Request) -> Response:
            body = await request.body()
            from starlette.concurrency import run_in_threadpool

            return await run_in_threadpool(forward, request, body)

        app = Starlette(routes=[Route("/{path:path}", handle, methods=METHODS)])
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
