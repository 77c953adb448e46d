"""The bodies of this program's calls, as OpenAPI shows them. Strict: no other types, no unknown members."""

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from services.moments import Moment

DEVICES_MAX: Final = 10_000
WATTS_MAX: Final = 1_000_000_000
CENTS_MAX: Final = 10**12
"""10 billion CAD: what it is in micro_cad still fits 64 bits a hundred times over."""
SEQ_MAX: Final = 2**53

EXAMPLE_MOMENT: Final = "2026-07-01T14:00:00Z"
EXAMPLE_KEY: Final = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$")]
Zone = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._:-]{0,63}$")]
Line = Annotated[
    str,
    StringConstraints(pattern=r"^[^\x00-\x1f\x7f]{1,200}$"),
    Field(description="stays on the ledger for ever: never a person's name"),
]
DeviceId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,64}$")]
RetailerId = Annotated[str, StringConstraints(pattern=r"^[A-Z0-9]{1,15}$")]
QuarantineReason = Annotated[str, StringConstraints(pattern=r"^[a-z_]{1,32}$")]
QuarantineState = Literal["open", "replay_requested", "replayed", "discarded"]
Watts = Annotated[int, Field(ge=0, le=WATTS_MAX)]
WattHours = Annotated[int, Field(ge=0, le=WATTS_MAX)]


class Shape(BaseModel):
    """A body that a client sends."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Shown(BaseModel):
    """A body that a client gets; it ignores members that it does not know."""

    model_config = ConfigDict(frozen=True)


def example(**members: Any) -> ConfigDict:
    """What OpenAPI shows as an example of the body."""
    return ConfigDict(json_schema_extra={"examples": [members]})


# Fleet


class NewDevice(Shape):
    """A unit to be registered. Types are checked here; values item by item, so that one cannot refuse the others."""

    model_config = example(
        device_id="home-0001",
        public_key=EXAMPLE_KEY,
        pv_nameplate_w=7_600,
        battery_capacity_wh=13_500,
        battery_power_w=5_000,
        zone="toronto",
    )
    device_id: Annotated[str, Field(description="1 to 64 of a-z 0-9 -")]
    public_key: Annotated[str, Field(description="base64url of an Ed25519 key")]
    pv_nameplate_w: int
    battery_capacity_wh: int
    battery_power_w: int
    zone: str


class NewDevices(Shape):
    """Units to be registered, each by itself: one that is wrong refuses no other."""

    model_config = example(
        devices=[
            {
                "device_id": "home-0001",
                "public_key": EXAMPLE_KEY,
                "pv_nameplate_w": 7_600,
                "battery_capacity_wh": 13_500,
                "battery_power_w": 5_000,
                "zone": "toronto",
            }
        ]
    )
    devices: Annotated[list[NewDevice], Field(min_length=1, max_length=DEVICES_MAX)]


class RegisteredDevice(Shown):
    """What the unit's owner and the unit need, shown once; or why the unit was not registered."""

    device_id: str
    claim_code: str | None = None
    mqtt_username: str | None = None
    mqtt_password: str | None = None
    error: str | None = None


class RegisteredDevices(Shown):
    model_config = example(
        items=[
            {
                "device_id": "home-0001",
                "claim_code": "7MZ4-9KQX-20AB-WPCE",
                "mqtt_username": "home-0001",
                "mqtt_password": "shown once",
            },
            {"device_id": "home-0002", "error": "device_exists"},
        ]
    )
    items: list[RegisteredDevice]
    code: Annotated[str | None, Field(description="secret_already_shown: a repeat")] = None


class Correction(Shape):
    """What was wrong about a unit; what is left out stays as it is."""

    model_config = example(pv_nameplate_w=8_200)
    pv_nameplate_w: Watts | None = None
    battery_capacity_wh: WattHours | None = None
    battery_power_w: Watts | None = None
    zone: Zone | None = None


class NewKey(Shape):
    model_config = example(public_key=EXAMPLE_KEY, from_seq=1_201)
    public_key: Annotated[str, Field(description="base64url of an Ed25519 key")]
    from_seq: Annotated[int, Field(ge=1, le=SEQ_MAX, description="above every number decided or waiting")]
    signature: Annotated[
        str | None, Field(description="base64url, by the old key; without it the old key is revoked")
    ] = None


class DeviceKey(Shown):
    kid: Annotated[str, Field(description="hex of the COSE key id")]
    public_key: str
    from_seq: int
    until_seq: Annotated[int | None, Field(description="the first number it does not sign any more")] = None
    revoked: bool


class Gap(Shown):
    from_seq: int
    to_seq: int


EXAMPLE_DEVICE: Final = {
    "device_id": "home-0001",
    "state": "active",
    "claimed": True,
    "zone": "toronto",
    "pv_nameplate_w": 7_600,
    "battery_capacity_wh": 13_500,
    "battery_power_w": 5_000,
    "keys": [{"kid": "8a1f0c2be43d5967", "public_key": EXAMPLE_KEY, "from_seq": 1, "revoked": False}],
    "last_seq": 288,
    "last_seen": EXAMPLE_MOMENT,
    "last_interval_end": EXAMPLE_MOMENT,
    "waiting": 2,
    "gaps": [{"from_seq": 289, "to_seq": 290}],
}


class Device(Shown):
    model_config = example(**EXAMPLE_DEVICE)
    device_id: str
    state: Annotated[str, Field(description="active or suspended")]
    claimed: bool
    zone: str
    pv_nameplate_w: int
    battery_capacity_wh: int
    battery_power_w: int
    keys: list[DeviceKey]
    last_seq: Annotated[int, Field(description="last number decided; 0 if none")]
    last_seen: Annotated[str | None, Field(description="when a message of it was last decided or set aside")]
    last_interval_end: str | None
    waiting: Annotated[int, Field(description="packs that came before their turn or their time")]
    gaps: Annotated[list[Gap], Field(description="numbers missing before those that wait")]


class Devices(Shown):
    model_config = example(items=[EXAMPLE_DEVICE], next_cursor="aG9tZS0wMDAx")
    items: list[Device]
    next_cursor: str | None


class DeviceMoved(Shown):
    model_config = example(device_id="home-0001", state="suspended")
    device_id: str
    state: Annotated[str, Field(description="active or suspended")]


class ClaimCode(Shown):
    model_config = example(claim_code="7MZ4-9KQX-20AB-WPCE", expires_at="2026-09-29T14:00:00Z")
    claim_code: str | None = None
    expires_at: str
    code: Annotated[str | None, Field(description="secret_already_shown: a repeat")] = None


class KeyReplaced(Shown):
    model_config = example(device_id="home-0001", kid="8a1f0c2be43d5967", from_seq=1_201)
    device_id: str
    kid: str
    from_seq: int


# Quarantine


class Discard(Shape):
    model_config = example(reason="a test signal of the installer")
    reason: Line


EXAMPLE_QUARANTINED: Final = {
    "id": "17",
    "device_id": "home-0001",
    "reason": "bad_signature",
    "count": 3,
    "first_seen": EXAMPLE_MOMENT,
    "last_seen": EXAMPLE_MOMENT,
    "raw": "0oRSow",
    "size_bytes": 4,
    "state": "open",
}


class QuarantineItem(Shown):
    model_config = example(**EXAMPLE_QUARANTINED)
    id: str
    device_id: str
    reason: str
    seq: int | None = None
    entry_index: Annotated[int | None, Field(description="the ledger's entry that refused it")] = None
    count: int
    first_seen: str
    last_seen: str
    raw: Annotated[str | None, Field(description="base64url; cut at 32 KiB; null where not kept")]
    size_bytes: int
    state: Annotated[str, Field(description="open, replay_requested, replayed or discarded")]
    note: str | None = None


class QuarantineItems(Shown):
    model_config = example(items=[EXAMPLE_QUARANTINED], next_cursor="MTc")
    items: list[QuarantineItem]
    next_cursor: str | None


class QuarantineMove(Shown):
    model_config = example(id="17", state="replay_requested")
    id: str
    state: str
    entry_index: int | None = None
    micro_sparks: int | None = None


# Programme


class NewRetailer(Shape):
    model_config = example(name="Corner Grocery", terminals=["TILL0001", "TILL0002"], bonus_bp=500)
    name: Line
    terminals: Annotated[
        list[Annotated[str, StringConstraints(pattern=r"^[A-Z0-9]{1,8}$")]], Field(min_length=1, max_length=1_000)
    ]
    bonus_bp: Annotated[int, Field(ge=0, le=10_000, description="the retailer's own green bonus")] = 0


class AdmittedRetailer(Shown):
    model_config = example(retailer_id="R4K2QW7ZT9XB3MC", client_id="retailer-r4k2qw7zt9xb3mc", client_secret="once")
    retailer_id: str
    client_id: str
    client_secret: str | None = None
    code: Annotated[str | None, Field(description="secret_already_shown: a repeat")] = None


class Deposit(Shape):
    model_config = example(amount_cents=50_000_000, reference="wire 2026-07-01/17")
    amount_cents: Annotated[int, Field(ge=1, le=CENTS_MAX)]
    reference: Line


class Deposited(Shown):
    model_config = example(entry_index=4, reserve_micro_cad=500_000_000_000, at=EXAMPLE_MOMENT)
    entry_index: int
    reserve_micro_cad: int
    at: str


class Identity(Shape):
    model_config = example(level="verified", provider="bank-id", expires_at="2031-07-01T00:00:00Z")
    level: Annotated[str, Field(description="unverified, verified or enhanced", max_length=32)]
    provider: Line
    expires_at: Moment


class Attested(Shown):
    model_config = example(customer_id="c-1", level="verified", expires_at="2031-07-01T00:00:00Z", entry_index=9)
    customer_id: str
    level: str
    expires_at: str
    entry_index: int


class NewEvent(Shape):
    model_config = example(
        id="2026-07-01-peak",
        zone="toronto",
        start_at="2026-07-01T20:00:00Z",
        end_at="2026-07-01T22:00:00Z",
        discharge_w=3_000,
    )
    id: Name
    zone: Zone
    start_at: Moment
    end_at: Moment
    discharge_w: Watts | None = None
    reserve_pct: Annotated[
        int,
        Field(ge=0, le=100, description="charge that stays in the batteries; a unit whose owner keeps more declines"),
    ] = 30


class DeclaredEvent(Shown):
    model_config = example(id="2026-07-01-peak", state="declared", entry_index=40)
    id: str
    state: str
    entry_index: int


class GridSignal(Shape):
    model_config = example(intensity_mg_per_wh=74)
    intensity_mg_per_wh: Annotated[int, Field(ge=0, le=1_000_000)]


class PublishedSignal(Shown):
    model_config = example(hour=EXAMPLE_MOMENT, intensity_mg_per_wh=74)
    hour: str
    intensity_mg_per_wh: int


class RetailerIdentity(Shape):
    model_config = example(level="verified", provider="Ontario Business Registry", expires_at="2031-07-01T00:00:00Z")
    level: Annotated[str, Field(description="unverified, verified or enhanced", max_length=32)]
    provider: Line
    expires_at: Moment


class Retailer(Shown):
    model_config = example(
        retailer_id="R4K2QW7ZT9XB3MC",
        name="Corner Grocery",
        terminals=["TILL0001", "TILL0002"],
        bonus_bp=500,
        identity="verified",
        identity_provider="Ontario Business Registry",
        identity_expires_at="2031-07-01T00:00:00Z",
    )
    retailer_id: str
    name: str
    terminals: list[str]
    bonus_bp: int
    identity: Annotated[str, Field(description="unverified, verified or enhanced; past its expiry: unverified")]
    identity_provider: str | None
    identity_expires_at: str | None


class AttestedRetailer(Shown):
    model_config = example(
        retailer_id="R4K2QW7ZT9XB3MC", level="verified", expires_at="2031-07-01T00:00:00Z", entry_index=9
    )
    retailer_id: str
    level: str
    expires_at: str
    entry_index: int
