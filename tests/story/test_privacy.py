"""Nothing about a person where others look, ever; and after they have left nothing in the database's files either."""

import base64
import hashlib
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select

from contracts import accounts
from contracts.units import DAY_S
from services.clock import SimulatedClock
from services.database import reading
from services.ledger.tables import ENTRIES, PAYLOADS
from services.rehearsal import Rehearsal
from services.settings import Settings
from services.statements import shelf
from services.statements.days import day_of
from tests.story.journey import Person, measure_earn_and_pay

MONDAY_NOON_S = 1_783_353_600
MARIE = Person(
    email="marie-recognisable@example.com",
    password="a password nobody else would choose",
    name="Marie Reconnaissable-Tremblay",
    postal_code="K1A 0B1",
)


def forms(seed: bytes) -> Iterator[bytes]:
    """The bytes themselves, in hex, and in base64 wherever they may begin in what was encoded."""
    yield seed
    yield seed.hex().encode()
    yield seed.hex().upper().encode()
    for shift in range(3):
        # Only the characters that the seed alone decides, whatever stands before and after it.
        text = base64.b64encode(bytes(shift) + seed)[(8 * shift + 5) // 6 :].rstrip(b"=")[:-1]
        yield text
        yield text.replace(b"+", b"-").replace(b"/", b"_")


def found(seeds: dict[str, bytes], *haystacks: bytes) -> set[str]:
    """The names of the seeds that stand somewhere in these bytes."""
    return {name for name, seed in seeds.items() for form in forms(seed) for haystack in haystacks if form in haystack}


def files(folder: Path) -> list[bytes]:
    """Every file of the platform, the database with its journal among them."""
    return [path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()]


def public_log(base_url: str) -> list[bytes]:
    """All that `/log/` serves to anybody."""
    checkpoint = httpx.get(f"{base_url}/log/checkpoint").content
    size = int(checkpoint.split(b"\n")[1])
    assert size < 256  # else more than one bundle
    paths = (f"tile/entries/000.p/{size}", f"tile/0/000.p/{size}")
    served = [httpx.get(f"{base_url}/log/{path}") for path in paths]
    assert [answer.status_code for answer in served] == [200, 200]
    proofs = [httpx.get(f"{base_url}/v1/entries/{index}/proof").content for index in range(size)]
    return [checkpoint, *(answer.content for answer in served), *proofs]


def a_statement_with(platform: Rehearsal, customer_id: str) -> dict[str, bytes]:
    """Publish the statement of the day before; what tells whose leaves a customer's are."""
    platform.simulated_clock.advance_to(MONDAY_NOON_S + DAY_S)
    with closing(platform.operator()) as operator:
        operator.publish_statement("2026-07-06")
    leaves = shelf.leaves_of(platform.engine, day_of(date(2026, 7, 6)), accounts.customer(customer_id))
    assert leaves is not None
    return {"key of the leaves": leaves.key, "places of the leaves": leaves.places}


def statements_of(base_url: str) -> list[bytes]:
    """All that anybody may read of the statements."""
    return [httpx.get(f"{base_url}/v1/statements{path}").content for path in ("", "/2026-07-06")]


def test_what_a_person_said_is_only_with_the_person_and_gone_when_they_leave(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "data"
    personal = {name: value.encode() for name, value in MARIE._asdict().items()}
    with Rehearsal(Settings(data_dir=folder, http_port=0, mqtt_port=0), SimulatedClock(MONDAY_NOON_S)) as platform:
        with closing(platform.operator()) as operator:
            measure_earn_and_pay(
                platform.base_url, platform.broker_url, operator, tmp_path / "unit", MONDAY_NOON_S, person=MARIE
            )
        base_url = platform.base_url
        session = {"email": MARIE.email, "password": MARIE.password}
        token = httpx.post(f"{base_url}/v1/sessions", json=session).json()["access_token"]
        me = {"Authorization": f"Bearer {token}"}
        customer_id = httpx.get(f"{base_url}/v1/me", headers=me).json()["customer_id"]
        messages = [pack.message for pack in platform.ledger.packs("story-1", from_s=0, to_s=1 << 40)]
        assert len(messages) == 12
        readings = {f"pack {number}": message[-64:] for number, message in enumerate(messages)}
        secrets = {"token": token.encode(), "password": MARIE.password.encode()}

        with reading(platform.engine) as rows:
            payloads = [
                b"".join(row) for row in rows.execute(select(PAYLOADS.c.request, PAYLOADS.c.effects, PAYLOADS.c.result))
            ]
            entries = list(rows.scalars(select(ENTRIES.c.entry)))
        everywhere_public = [*public_log(base_url), *entries, httpx.get(f"{base_url}/metrics").content]
        assert found(personal | secrets | readings | {"pseudonym": customer_id.encode()}, *everywhere_public) == set()
        assert found(personal | secrets, *payloads) == set()
        assert found(secrets, *files(folder)) == set()
        assert found(personal, *files(folder)) == {"email", "name", "postal_code"}  # what the person's own row says

        leaves = a_statement_with(platform, customer_id)
        assert found(leaves, *files(folder)) == {"key of the leaves", "places of the leaves"}
        assert found({"pseudonym": customer_id.encode()}, *everywhere_public, *statements_of(base_url)) == set()
        token = httpx.post(f"{base_url}/v1/sessions", json=session).json()["access_token"]
        me = {"Authorization": f"Bearer {token}"}

        left = httpx.delete(f"{base_url}/v1/me", headers=me)
        assert left.status_code == 200, left.text
        again = httpx.get(f"{base_url}/v1/erasures/{left.json()['erasure_id']}").json()
        assert again["state"] == "erased"
        assert platform.verified_head()["verified"]
        assert platform.ledger.entries_of([accounts.customer(customer_id)])[0].postings

        hashed = {"hash of the e-mail": hashlib.sha256(f"email\0{MARIE.email}".encode()).hexdigest().encode()}
        assert found(personal | secrets | readings | hashed | leaves, *files(folder)) == set()
        with closing(platform.operator()) as operator:
            assert operator.publish_statement("2026-07-06")["outstanding_micro_sparks"] > 0
        everywhere_public = [*public_log(base_url), httpx.get(f"{base_url}/metrics").content]
        assert found(personal | secrets | readings, *everywhere_public) == set()

    told = "".join(capfd.readouterr()).encode()
    assert found(personal | secrets | readings, told) == set()
    assert found(personal | secrets | readings, *files(folder)) == set()


def test_a_seed_is_found_however_it_is_written() -> None:
    seeds = {"name": b"Marie Reconnaissable"}
    text = b"so said Marie Reconnaissable, and left"

    for start in range(4):
        for written in (text[start:], text[start:].hex().encode(), base64.b64encode(text[start:])):
            assert found(seeds, written) == {"name"}
    assert found(seeds, b"so said nobody") == set()
