"""Accounts in Mosquitto's dynamic security plugin (2.0), spoken to over its control topic.

The plugin keeps who may log in. What a unit may say and hear is `UNIT_ACCESS`, a file for the option
`acl_file`: the plugin's own roles know no `%u` before version 2.1, and a role for each unit takes five
times as long to make. Mosquitto grants what either of the two grants, so the plugin's own defaults are all
refusals:

    allow_anonymous false
    acl_file units.acl
    plugin mosquitto_dynamic_security.so
    plugin_opt_config_file dynamic-security.json
"""

import base64
import hashlib
import json
import os
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from services.broker import topics
from services.broker.accounts import Login, never_a_unit, units_only

CONTROL_TOPIC: Final = "$CONTROL/dynamic-security/v1"
RESPONSE_TOPIC: Final = f"{CONTROL_TOPIC}/response"
ALREADY_THERE: Final = "Client already exists"
NOT_THERE: Final = "Client not found"

# Mosquitto does nothing else during a batch, and writes its whole file after each command: a batch of this
# size takes 0.1 s with 1,000 units and 1.5 s with 10,000, which the other clients can wait for.
COMMANDS_PER_MESSAGE: Final = 50
ANSWER_S_MAX: Final = 30

# The plugin's own count; enough for 32 random bytes, see `accounts.password_hash`.
PBKDF2_ITERATIONS: Final = 101

UNIT_ACCESS: Final = """\
# What each unit may say and hear (interfaces.md section 1); %u is its user name, the device id.
pattern write sparks/v1/%u/readings
pattern read sparks/v1/%u/receipts
pattern read sparks/v1/%u/commands
"""

Command = dict[str, Any]


class ControlFailed(Exception):
    """Mosquitto could not be reached, did not let the administrator in, or refused a command."""


class MosquittoAccounts:
    """`BrokerAccounts` in a running Mosquitto, by its administrator's login."""

    def __init__(self, *, host: str, port: int, admin: Login, tls: ssl.SSLContext | None = None) -> None:
        self._host = host
        self._port = port
        self._admin = never_a_unit(admin)
        self._tls = tls

    def admit(self, accounts: Sequence[tuple[str, str]]) -> None:
        """Create the accounts, and give those that exist the new password; raises ControlFailed.

        About 2 s for the first 1,000; each account costs more the more there are, see COMMANDS_PER_MESSAGE.
        Stopped half-way, the same call again completes it.
        """
        passwords = dict(accounts)
        units_only(passwords)
        with _control(self._host, self._port, self._admin, self._tls) as control:
            known = control.ask(
                [_create(username, password) for username, password in passwords.items()], bears=ALREADY_THERE
            )
            control.ask([_set_password(username, passwords[username]) for username in known])

    def remove(self, usernames: Sequence[str]) -> None:
        """Delete the accounts and end their connections; raises ControlFailed."""
        units_only(usernames)
        commands = [{"command": "deleteClient", "username": username} for username in usernames]
        with _control(self._host, self._port, self._admin, self._tls) as control:
            control.ask(commands, bears=NOT_THERE)


def first_config(
    path: Path, *, admin: Login, platform: Login, random_bytes: Callable[[int], bytes] = os.urandom
) -> None:
    """Write the plugin's file with the administrator and the platform in it, readable by its owner only.

    A file that is there already holds the units' accounts and is left as it is. Mosquitto must be able to
    write both the file and its directory.
    """
    config = {
        "defaultACLAccess": dict.fromkeys(
            ("publishClientSend", "publishClientReceive", "subscribe", "unsubscribe"), False
        ),
        "clients": [
            _first_client(never_a_unit(admin), role="admin", salt=random_bytes(12)),
            _first_client(never_a_unit(platform), role="platform", salt=random_bytes(12)),
        ],
        "roles": [
            {
                "rolename": "admin",
                "acls": [
                    _grant("publishClientSend", f"{CONTROL_TOPIC}/#"),
                    _grant("publishClientReceive", f"{CONTROL_TOPIC}/#"),
                    _grant("subscribePattern", f"{CONTROL_TOPIC}/#"),
                ],
            },
            {"rolename": "platform", "acls": _platform_grants()},
        ],
    }
    if path.exists():
        return
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(config, file, indent=1)


class _Control:
    """One open connection to the control topic; commands go in, answers are waited for."""

    def __init__(self, client: mqtt.Client) -> None:
        self._client = client
        self._changed = threading.Condition()
        self._is_ready = False
        self._answers: list[Command] = []
        self._failure: str | None = None
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_publish = self._on_publish
        client.on_message = self._on_message

    def wait_until_ready(self) -> None:
        """Return once answers will arrive; raises ControlFailed."""
        self._wait_for(lambda: self._is_ready)

    def ask(self, commands: Sequence[Command], *, bears: str | None = None) -> list[str]:
        """Return the user names answered with the error `bears`; any other error raises ControlFailed."""
        answers: list[Command] = []
        for start in range(0, len(commands), COMMANDS_PER_MESSAGE):
            answers += self._ask_batch(commands[start : start + COMMANDS_PER_MESSAGE])
        failed = [answer for answer in answers if answer.get("error", bears) != bears]
        if failed:
            raise ControlFailed(f"Mosquitto answers {failed[0]}")
        return [answer["correlationData"] for answer in answers if "error" in answer]

    def _ask_batch(self, commands: Sequence[Command]) -> list[Command]:
        self._answers = []
        tagged = [{**command, "correlationData": command["username"]} for command in commands]
        self._client.publish(CONTROL_TOPIC, json.dumps({"commands": tagged}), qos=1)
        self._wait_for(lambda: len(self._answers) >= len(commands))
        return self._answers

    def _wait_for(self, condition: Callable[[], bool]) -> None:
        with self._changed:
            is_done = self._changed.wait_for(lambda: condition() or self._failure, timeout=ANSWER_S_MAX)
        if self._failure is not None:
            raise ControlFailed(self._failure)
        if not is_done:
            raise ControlFailed(f"no answer from Mosquitto in {ANSWER_S_MAX} s")

    def _on_connect(
        self,
        client: mqtt.Client,
        _userdata: object,
        _flags: mqtt.ConnectFlags,
        reason: ReasonCode,
        _properties: object,
    ) -> None:
        if reason.is_failure:
            self._note(failure=f"Mosquitto refused its administrator: {reason}")
        else:
            client.subscribe(RESPONSE_TOPIC, qos=1)

    def _on_subscribe(
        self,
        _client: mqtt.Client,
        _userdata: object,
        _message_id: int,
        reasons: list[ReasonCode],
        _properties: object,
    ) -> None:
        self._note(failure=f"this login may hear no answers: {reasons[0]}" if reasons[0].is_failure else None)

    def _on_publish(
        self,
        _client: mqtt.Client,
        _userdata: object,
        _message_id: int,
        reason: ReasonCode,
        _properties: object,
    ) -> None:
        if reason.is_failure:
            self._note(failure=f"this login may give no commands: {reason}")

    def _on_message(self, _client: mqtt.Client, _userdata: object, message: mqtt.MQTTMessage) -> None:
        with self._changed:
            self._answers += json.loads(message.payload)["responses"]
            self._changed.notify_all()

    def _note(self, *, failure: str | None) -> None:
        with self._changed:
            self._is_ready = failure is None
            self._failure = failure
            self._changed.notify_all()


@contextmanager
def _control(host: str, port: int, admin: Login, tls: ssl.SSLContext | None) -> Iterator[_Control]:
    # Version 5, because 3.1.1 cannot say that a command was not authorised.
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.username_pw_set(admin.username, admin.password)
    if tls is not None:
        client.tls_set_context(tls)
    control = _Control(client)
    try:
        client.connect(host, port)
    except OSError as error:
        raise ControlFailed(f"Mosquitto at {host}:{port} cannot be reached: {error}") from error
    client.loop_start()
    try:
        control.wait_until_ready()
        yield control
    finally:
        client.disconnect()
        client.loop_stop()


def _create(username: str, password: str) -> Command:
    return {"command": "createClient", "username": username, "password": password}


def _set_password(username: str, password: str) -> Command:
    return {"command": "setClientPassword", "username": username, "password": password}


def _first_client(login: Login, *, role: str, salt: bytes) -> dict[str, Any]:
    digest = hashlib.pbkdf2_hmac("sha512", login.password.encode(), salt, PBKDF2_ITERATIONS)
    return {
        "username": login.username,
        "password": base64.b64encode(digest).decode(),
        "salt": base64.b64encode(salt).decode(),
        "iterations": PBKDF2_ITERATIONS,
        "roles": [{"rolename": role}],
    }


def _platform_grants() -> list[dict[str, Any]]:
    # A shared subscription is checked by the filter inside it, and so are the messages it brings.
    return [
        _grant("subscribePattern", topics.READINGS_OF_ALL),
        _grant("unsubscribePattern", topics.READINGS_OF_ALL),
        _grant("publishClientReceive", topics.READINGS_OF_ALL),
        _grant("publishClientSend", topics.RECEIPTS_OF_ALL),
        _grant("publishClientSend", topics.COMMANDS_OF_ALL),
    ]


def _grant(acl_type: str, topic: str) -> dict[str, Any]:
    return {"acltype": acl_type, "topic": topic, "allow": True}
