"""What an operator may choose, read from the environment (`SPARKS_*`) and a `.env` file by entry points only.

Owns names, types, units and defaults. Holds no secret: those are files (`services.keys`).
"""

import difflib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Final, Literal

from dotenv import dotenv_values
from pydantic import AfterValidator, BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX: Final = "SPARKS_"
DATABASE_FILE: Final = "sparks.db"


class BadSettings(ValueError):
    """A setting is unknown or malformed; the message is one line for the operator."""


def _url_of(*schemes: str) -> AfterValidator:
    return AfterValidator(lambda url: _checked_url(url, schemes))


def _urls_of(*schemes: str) -> AfterValidator:
    return AfterValidator(lambda urls: ",".join(_checked_url(url.strip(), schemes) for url in urls.split(",")))


def _checked_url(url: str, schemes: Sequence[str]) -> str:
    scheme, separator, rest = url.partition("://")
    if scheme not in schemes or not separator or not rest:
        raise ValueError(f"expected a URL that begins with {' or '.join(f'{known}://' for known in schemes)}")
    return url


def _log_origin(origin: str) -> str:
    # C2SP tlog-checkpoint: it is the log's key name too, so no spaces and no plus.
    if not origin or "+" in origin or any(character.isspace() for character in origin):
        raise ValueError("an origin has no spaces and no +, like sparks.example/ledger")
    return origin


def _none_if_blank(value: object) -> object:
    return None if value == "" else value  # compose.yaml passes on an unset variable as an empty one


_Port = Annotated[int, Field(ge=0, le=65_535)]
_DatabaseUrl = Annotated[str, _url_of("sqlite", "postgresql", "postgresql+psycopg")]
_BrokerUrl = Annotated[str, _url_of("mqtt", "mqtts", "nats")]
_HttpUrls = Annotated[str, _urls_of("http", "https")]
_Optional = BeforeValidator(_none_if_blank)


class Settings(BaseSettings):
    """Every setting, by its name without the prefix.

    data_dir       folder of the database, the keys and whatever a service keeps on disk
    database_url   SQLAlchemy URL; None is SQLite in `data_dir` (see `database`)
    broker_url     None is the embedded broker
    ledger_url     base URL of the ledger service, and after a comma of each standby; None is the ledger in this process
    ledger_origin  the name of the log
    http_host, http_port  where pages and APIs listen; port 0 takes any free one
    mqtt_port      of the embedded broker
    iso8583_port   of the tills
    clock          `simulated` is for the demo and a replay, which choose it themselves
    archive_days   payloads that are older move to segment files while the ledger runs; None: never
    segments_dir   folder of these files; None is `segments` in `data_dir`
    backup_days    how long backups are kept: after that many days nothing erased is left in any
    statements     publish each day's statement by itself once the day is over
    statement_days for how many days the proofs of a statement are kept; the statement itself stays for ever
    accept_clock   start although the clock is more than a day after the last entry
    member_operator_url  of a member's node: base URL of the operator whose log it follows
    member_id            under which the member was admitted
    member_log_key       the log's vkey, by which everything is checked; it names the origin too
    member_cosign_name   under which the member co-signs
    member_peers         base URLs of other members' nodes, with commas: to find a fork
    member_gossip        `members`: compare with these and with the members' own URLs on the ledger; `named`: with these
    member_ahead_s       an entry of a time further ahead of this machine's clock waits until the clock is there; empty:
                         any is taken, as a simulated ledger needs
    member_first_contracts  hex version of the set that the log began with, if it is not this program's
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", frozen=True)

    data_dir: Path = Path("data")
    database_url: Annotated[_DatabaseUrl | None, _Optional] = None
    broker_url: Annotated[_BrokerUrl | None, _Optional] = None
    ledger_url: Annotated[_HttpUrls | None, _Optional] = None
    ledger_origin: Annotated[str, AfterValidator(_log_origin)] = "sparks.example/ledger"
    http_host: str = "127.0.0.1"
    http_port: _Port = 8000
    mqtt_port: _Port = 1883
    iso8583_port: _Port = 8583
    clock: Literal["system", "simulated"] = "system"
    archive_days: Annotated[Annotated[int, Field(ge=1, le=36_500)] | None, _Optional] = None
    segments_dir: Annotated[Path | None, _Optional] = None
    backup_days: Annotated[int, Field(ge=0, le=36_500)] = 35
    statements: bool = True
    statement_days: Annotated[int, Field(ge=1, le=36_500)] = 35
    accept_clock: bool = False
    member_operator_url: Annotated[Annotated[str, _url_of("http", "https")] | None, _Optional] = None
    member_id: str = ""
    member_log_key: str = ""
    member_cosign_name: str = ""
    member_peers: str = ""
    member_gossip: Literal["members", "named"] = "members"
    member_ahead_s: Annotated[Annotated[int, Field(ge=0)] | None, _Optional] = 300
    member_first_contracts: Annotated[str, Field(pattern="^([0-9a-f]{64})?$")] = ""

    @property
    def database(self) -> str:
        """The SQLAlchemy URL to use."""
        return self.database_url or f"sqlite:///{self.data_dir / DATABASE_FILE}"

    @property
    def segments(self) -> Path:
        """Where payloads lie that were moved out of the database."""
        return self.segments_dir or self.data_dir / "segments"

    @property
    def ledger_urls(self) -> tuple[str, ...]:
        """Base URLs of the ledger service and its standbys; none for the ledger in this process."""
        return tuple(self.ledger_url.split(",")) if self.ledger_url else ()

    @property
    def keys_dir(self) -> Path:
        """Where `services.keys` keeps its files."""
        return self.data_dir / "keys"


def load(env_file: Path = Path(".env")) -> Settings:
    """Return the settings of this process; one that is unknown or malformed raises BadSettings."""
    try:
        _refuse_unknown([*os.environ, *dotenv_values(env_file)])
        return Settings(_env_file=env_file)
    except ValidationError as errors:
        first = errors.errors(include_url=False, include_context=False)[0]
        name = PREFIX + str(first["loc"][0]).upper()
        message = first["msg"].removeprefix("Value error, ")
        raise BadSettings(f"{name}={first['input']}: {message}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadSettings(f"{env_file}: {error}") from None


def _refuse_unknown(names: Iterable[str]) -> None:
    known = {PREFIX + field.upper() for field in Settings.model_fields}
    for name in sorted(set(names)):
        if name.upper().startswith(PREFIX) and name.upper() not in known:
            close = difflib.get_close_matches(name.upper(), known, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise BadSettings(f"{name}: there is no such setting{hint}")
