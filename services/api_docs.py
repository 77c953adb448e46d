"""The page `/docs`: the HTTP interface to read and to try, in Swagger UI.

Owns that page and what it loads: everything comes from this server, so it works without the internet, and its content
security policy (W3C CSP 3) lets a browser ask no other host and run no script written into the page.
"""

from typing import Final

from fastapi import APIRouter, FastAPI
from fastapi.responses import HTMLResponse, Response
from fastapi.staticfiles import StaticFiles

PATH: Final = "/docs"
# Swagger UI sets styles on elements as it draws; nothing that is written by strangers is shown on this page.
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# Addresses are relative, so that the page also works below a prefix of a reverse proxy.
_PAGE: Final = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Sparks: the HTTP interface</title>
<link rel="icon" type="image/png" href="docs/assets/favicon-32x32.png">
<link rel="stylesheet" href="docs/assets/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<noscript>This page needs JavaScript; what it shows is written in <a href="openapi.json">openapi.json</a>.</noscript>
<script src="docs/assets/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
# Without `validatorUrl: null` the document's address would be sent to a validator of others.
_START: Final = """SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  filter: true,
  validatorUrl: null,
});
"""


def install(app: FastAPI) -> None:
    """Answer the page and its parts; none of them is in the OpenAPI document."""
    router = APIRouter(prefix=PATH, include_in_schema=False)

    @router.get("")
    async def page() -> HTMLResponse:
        return HTMLResponse(_PAGE, headers={"Content-Security-Policy": _POLICY})

    @router.get("/start.js")
    async def start() -> Response:
        return Response(_START, media_type="text/javascript")

    app.include_router(router)
    app.mount(f"{PATH}/assets", StaticFiles(packages=[("fastapi_swagger", "resources")]))
