"""A load on its way through a platform, whichever shape it has: the rate at full speed, the waits at half of it."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from typing import Any, Final, TypeAlias

from benchmarks import publisher, stand
from benchmarks.probes import probes
from benchmarks.watch import Watch, percentile_ms
from contracts.units import HOUR_S
from services.ledger.remote import RemoteLedger

Messages: TypeAlias = Sequence[tuple[str, bytes]]
AGE_S: Final = 20 * 24 * HOUR_S
"""How long ago the packs were measured: they may be up to 30 days late."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """What is measured, and how a load gets there.

    logins        passwords by user name where each unit logs in by itself, None where the broker asks for none
    pids          the processes that are watched
    stored_bytes  how large the database is now
    """

    folder: Path
    mqtt_port: int
    logins: Mapping[str, str] | None
    ledger: RemoteLedger
    pids: Mapping[str, int]
    stored_bytes: Callable[[], int]


def start_s() -> int:
    """When the first pack of a load begins."""
    return int(time.time()) // HOUR_S * HOUR_S - AGE_S


def figures(platform: Platform, messages: Messages, probe_messages: Messages, *, units: int) -> dict[str, Any]:
    """Two thirds of the packs at full speed, the rest at half of the rate found, with probes among them."""
    at_full = len(messages) * 2 // 3 // units * units  # every unit sends as many as the others
    watch, bytes_before = Watch(platform.pids), platform.stored_bytes()
    rate = _decided_per_s(platform, messages[:at_full], rate=0)
    cpu_s, bytes_used = watch.cpu_s(), platform.stored_bytes() - bytes_before
    with probes(probe_messages, port=platform.mqtt_port, logins=platform.logins) as probing:
        probing.start()
        _decided_per_s(platform, messages[at_full:], rate=max(1, rate // 2))
        waits_s = probing.end()
    return {
        "packs_per_s": rate,
        **{f"p{percent}_ms": percentile_ms(waits_s, percent) for percent in (50, 95, 99)},
        "cpu_s": cpu_s,
        "bytes_per_pack": bytes_used // at_full,
        "rss_mb": watch.rss_mb(),
    }


def ceiling_per_s(loops: Sequence["Popen[str]"], load: publisher.Load, *, folder: Path, mqtt_port: int) -> int:
    """Messages a second that these bare loops (`benchmarks.ceiling`) receive and verify together."""
    path = folder / "ceiling.load"
    publisher.write_load(path, load)
    for loop in loops:
        stand.json_line(loop)
    sender = stand.module("publisher", path, mqtt_port, 0)
    found = [stand.json_line(loop) for loop in loops]
    for process in (*loops, sender):
        process.communicate()
    seconds: float = max(one["last_s"] for one in found) - min(one["first_s"] for one in found)
    return round(sum(int(one["count"]) for one in found) / seconds)


def _decided_per_s(platform: Platform, messages: Messages, *, rate: int) -> int:
    """Publish, wait until each message is an entry of the ledger; packs a second."""
    path = platform.folder / "packs.load"
    sent_by = platform.logins and {name: platform.logins[name] for name in dict.fromkeys(one for one, _ in messages)}
    publisher.write_load(path, publisher.load_of(messages, sent_by))
    wanted_size = platform.ledger.head().size + len(messages)
    sender = stand.module("publisher", path, platform.mqtt_port, rate)
    stand.json_line(sender)
    began_s = time.monotonic()
    stand.wait_for_size(platform.ledger, wanted_size)
    seconds = time.monotonic() - began_s
    sender.communicate()
    return round(len(messages) / seconds)
