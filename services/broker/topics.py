"""The access rule of the device topics (interfaces.md section 1): a unit speaks and listens only on its own.

Pure. The user name of a unit is its device id; one more user, the platform, reads every unit's readings and
writes every unit's receipts and commands.
"""

import re
from typing import Final

READINGS_OF_ALL: Final = "sparks/v1/+/readings"
RECEIPTS_OF_ALL: Final = "sparks/v1/+/receipts"
COMMANDS_OF_ALL: Final = "sparks/v1/+/commands"

_DEVICE_ID: Final = re.compile(r"[a-z0-9-]{1,64}")
_TOPIC: Final = re.compile(r"sparks/v1/(?P<device_id>[a-z0-9-]{1,64})/(?P<channel>readings|receipts|commands)")


def is_device_id(username: str) -> bool:
    """Return whether a unit may have this user name."""
    return _DEVICE_ID.fullmatch(username) is not None


def may_publish(topic: str, *, username: str, platform: str) -> bool:
    """Return whether `username` may publish on `topic`; `platform` is the platform's own user name."""
    match = _TOPIC.fullmatch(topic)
    if match is None:
        return False
    if username == platform:
        return match["channel"] != "readings"
    return match["device_id"] == username and match["channel"] == "readings"


def may_subscribe(topic_filter: str, *, username: str, platform: str) -> bool:
    """Return whether `username` may subscribe to `topic_filter`: the only wildcard is the platform's."""
    match = _TOPIC.fullmatch(topic_filter)
    if username == platform:
        return topic_filter == READINGS_OF_ALL or (match is not None and match["channel"] == "readings")
    return match is not None and match["device_id"] == username and match["channel"] != "readings"


def filters_matching(topic: str) -> tuple[str, ...]:
    """Return every filter that may be subscribed to and matches `topic`, so that nobody searches for them."""
    return (topic, READINGS_OF_ALL) if topic.endswith("/readings") else (topic,)
