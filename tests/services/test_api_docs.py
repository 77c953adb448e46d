"""The page of the HTTP interface stands alone: whatever it loads comes from the server that answered it."""

from html.parser import HTMLParser
from urllib.parse import urljoin

import httpx
import pytest
from fastapi import FastAPI

from services import api_docs
from tests.services.asgi import Http

BASE = "http://sparks.test/docs"


class Named(HTMLParser):
    """Every address that a page names."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value for name, value in attrs if name in ("src", "href") and value]


@pytest.fixture(scope="module")
def http() -> Http:
    app = FastAPI(docs_url=None, redoc_url=None)
    api_docs.install(app)
    return Http(app)


def test_everything_the_page_names_is_answered_by_the_server_itself(http):
    addresses = Named(http.get("/docs").text).addresses

    assert len(addresses) == 5
    for address in addresses:
        found = httpx.URL(urljoin(BASE, address))
        assert found.host == "sparks.test"
        assert http.get(found.path).status_code == 200, address


def test_a_browser_may_ask_no_other_host_and_run_no_script_in_the_page(http):
    page = http.get("/docs")
    policy = dict(part.split(" ", 1) for part in page.headers["Content-Security-Policy"].split("; "))

    assert policy.pop("default-src") == "'none'"
    assert policy["script-src"] == "'self'"
    sources = {source for part in policy.values() for source in part.split()}
    assert sources == {"'self'", "'none'", "'unsafe-inline'", "data:"}


def test_the_files_have_the_types_that_browsers_insist_on(http):
    types = {
        name: http.get(f"/docs/{name}").headers["Content-Type"].split(";")[0]
        for name in ("start.js", "assets/swagger-ui-bundle.js", "assets/swagger-ui.css")
    }

    assert types == {
        "start.js": "text/javascript",
        "assets/swagger-ui-bundle.js": "text/javascript",
        "assets/swagger-ui.css": "text/css",
    }


def test_the_page_sends_the_interface_to_no_validator_and_is_not_part_of_it(http):
    assert "validatorUrl: null" in http.get("/docs/start.js").text
    assert http.get("/openapi.json").json()["paths"] == {}
