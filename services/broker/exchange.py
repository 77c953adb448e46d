"""The embedded broker's exchange: amqtt's listener and packets, our log-in, sessions and routing.

Written against amqtt 0.12.1, whose own way through these steps ends a session before it has asked for the
password, shows every client that connects the retained messages of all others, marks a client that came
back as gone when its earlier connection ends, and loses messages when a client subscribes while another's
message is on its way. Its plugins are not loaded: they would publish $SYS figures and log every packet.
"""

import asyncio
import hmac
import socket
from functools import partial
from typing import Any, Final
from uuid import uuid4

from amqtt.adapters import ReaderAdapter, WriterAdapter
from amqtt.broker import Broker, RetainedApplicationMessage
from amqtt.contexts import Action, BrokerConfig, ListenerConfig
from amqtt.errors import NoDataError
from amqtt.mqtt.connack import NOT_AUTHORIZED, ConnackPacket
from amqtt.mqtt.constants import QOS_0, QOS_1
from amqtt.mqtt.protocol.broker_handler import BrokerProtocolHandler
from amqtt.session import ApplicationMessage, IncomingApplicationMessage, OutgoingApplicationMessage, Session

from services.broker import topics
from services.broker.accounts import Login, TableAccounts
from services.broker.connection import Connection
from services.broker.mqtt5 import NEVER_EXPIRES_S
from services.broker.wire import ClientReader, ClientWriter

# The platform's messages wait for it, and with them the acknowledgements: units hold what they have on disk.
PLATFORM_WAITING_MAX: Final = 10_000
# A unit that does not listen loses its oldest: a receipt is cumulative and retained, a command is repeated.
UNIT_WAITING_MAX: Final = 100
LOG_IN_S_MAX: Final = 10
# A unit has one connection, and perhaps another while the first is being found dead.
SESSIONS_PER_UNIT_MAX: Final = 4
CLIENT_ID_LENGTH_MAX: Final = 128


class Exchange(Broker):
    """A broker of MQTT 3.1.1 and 5 for one platform and its units on a socket that listens already."""

    def __init__(self, listening: socket.socket, accounts: TableAccounts, platform: Login) -> None:
        host, port = listening.getsockname()[:2]
        listener = ListenerConfig(bind=f"{host}:{port}")
        super().__init__(BrokerConfig(listeners={"default": listener}, plugins={}))
        self._listening = listening
        self._accounts = accounts
        self._platform = platform
        self._expiries: dict[str, asyncio.TimerHandle] = {}
        self._client_ids_of: dict[str, list[str]] = {}

    async def stream_connected(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, listener_name: str
    ) -> None:
        """Serve one client until it leaves."""
        to_client = ClientWriter(writer)
        from_client = ClientReader(reader, to_client, spare_client_id=lambda: uuid4().hex)
        await self._client_connected(listener_name, from_client, to_client)

    async def add_subscription(self, subscription: tuple[str, int], session: Session) -> int:
        """Return the QoS granted, 1 at most, or 0x80 where the access rule says no."""
        topic_filter, qos = subscription
        return await super().add_subscription((topic_filter, min(qos, QOS_1)), session)

    async def _create_server_instance(self, listener_name: str, *_: Any) -> asyncio.Server:
        return await asyncio.start_server(
            partial(self.stream_connected, listener_name=listener_name), sock=self._listening
        )

    # --- log-in and sessions

    async def _initialize_client_session(
        self, reader: ReaderAdapter, writer: WriterAdapter, remote_address: str, remote_port: int
    ) -> tuple[BrokerProtocolHandler, Session]:
        asked = await self._log_in(reader, writer)
        # Two users may choose the same client id: a session belongs to its user.
        asked.client_id = f"{asked.username}/{asked.client_id}"
        assert isinstance(writer, ClientWriter), "every client comes through stream_connected"
        dialect = writer.dialect
        starts_clean = dialect.asked.starts_clean if dialect is not None else bool(asked.clean_session)
        session, earlier = await self._session_for(asked, starts_clean=starts_clean)
        connection = Connection(self.plugins_manager, self._take, dialect)
        connection.attach(session, reader, writer)
        self._sessions[asked.client_id] = (session, connection)
        if earlier is not None:
            await earlier.stop()
        if asked.username and asked.username != self._platform.username:
            await self._end_oldest_of(asked.username, asked.client_id)
        return connection, session

    async def _log_in(self, reader: ReaderAdapter, writer: WriterAdapter) -> Session:
        """Return what an admitted client asks for; else close the connection and raise NoDataError."""
        try:
            async with asyncio.timeout(LOG_IN_S_MAX):
                _, asked = await BrokerProtocolHandler.init_from_connect(reader, writer, self.plugins_manager)
                if await self._is_admitted(asked):
                    return asked
                await ConnackPacket.build(0, NOT_AUTHORIZED).to_stream(writer)
            refusal = NoDataError("the broker does not know this user name and password")
        except Exception as error:
            # A stranger's bytes make amqtt's parser raise whatever it meets.
            refusal = NoDataError(f"no log-in could be read: {error!r}")
        await writer.close()
        raise refusal

    async def _is_admitted(self, asked: Session) -> bool:
        if len(asked.client_id or "") > CLIENT_ID_LENGTH_MAX:
            return False
        login = Login(asked.username or "", asked.password or "")
        if login.username == self._platform.username:
            return hmac.compare_digest(login.password.encode(), self._platform.password.encode())
        return await asyncio.to_thread(self._accounts.is_admitted, login)

    async def _session_for(self, asked: Session, *, starts_clean: bool) -> tuple[Session, Connection | None]:
        """Return the session that goes on, or a fresh one, and the connection that it replaces."""
        kept, earlier = self._sessions.get(str(asked.client_id), (None, None))
        if (expiry := self._expiries.pop(str(asked.client_id), None)) is not None:
            expiry.cancel()
        if kept is not None and _expiry_s(kept, earlier) and not starts_clean:
            kept.keep_alive, kept.parent = asked.keep_alive, 1
            kept.clean_session = asked.clean_session
            session = kept
        else:
            if kept is not None:
                await self._forget(kept)
            is_platform = asked.username == self._platform.username
            asked.retained_messages = asyncio.Queue(PLATFORM_WAITING_MAX if is_platform else UNIT_WAITING_MAX)
            session = asked
        # MQTT 3.1.1, 3.1.2.10: one and a half times the keep-alive that the client named.
        session.keep_alive += session.keep_alive // 2
        if session.transitions.state != "connected":
            session.transitions.connect()
        return session, earlier if isinstance(earlier, Connection) else None

    async def _end_oldest_of(self, username: str, newest: str) -> None:
        """A unit that comes under ever new client ids does not fill the memory: its oldest session ends."""
        client_ids = self._client_ids_of.setdefault(username, [])
        if newest in client_ids:
            client_ids.remove(newest)
        client_ids.append(newest)
        while len(client_ids) > SESSIONS_PER_UNIT_MAX:
            oldest = client_ids.pop(0)
            _, connection = self._sessions.get(oldest, (None, None))
            await self._end(oldest)
            if connection is not None:
                await connection.stop()

    async def _handle_client_session(
        self,
        reader: ReaderAdapter,
        writer: WriterAdapter,
        client_session: Session,
        handler: BrokerProtocolHandler,
        *_: Any,
    ) -> None:
        try:
            await handler.mqtt_connack_authorize(authorize=True)
            await handler.start()
            await self._client_message_loop(client_session, handler)
        finally:
            await handler.stop()
            await self._part(client_session, handler)

    async def _handle_disconnect(self, *_: Any) -> None:
        """Keep no last will: amqtt would publish it past the access rule."""

    async def _part(self, session: Session, handler: BrokerProtocolHandler) -> None:
        client_id = str(session.client_id)
        if self._sessions.get(client_id, (None, None))[1] is not handler:
            return  # the client is back already, on another connection
        session.transitions.disconnect()
        expiry_s = _expiry_s(session, handler)
        if expiry_s == 0:
            await self._end(client_id)
        elif expiry_s != NEVER_EXPIRES_S:
            loop = asyncio.get_running_loop()
            self._expiries[client_id] = loop.call_later(expiry_s, lambda: loop.create_task(self._end(client_id)))

    async def _end(self, client_id: str) -> None:
        self._expiries.pop(client_id, None)
        session, _ = self._sessions.pop(client_id, (None, None))
        if session is not None:
            await self._forget(session)

    async def _forget(self, session: Session) -> None:
        await self._del_all_subscriptions(session)
        session.clear_queues()  # and whoever waits for room in them goes on

    # --- who may say and hear what, and who gets it

    async def _topic_filtering(self, session: Session, topic: str, action: Action) -> bool:
        may = topics.may_publish if action is Action.PUBLISH else topics.may_subscribe
        return may(topic, username=session.username or "", platform=self._platform.username)

    async def _take(self, session: Session, message: IncomingApplicationMessage | OutgoingApplicationMessage) -> None:
        """Route one message; what its user may not say is acknowledged and dropped, as in 3.1.1."""
        if not await self._topic_filtering(session, message.topic, Action.PUBLISH):
            return
        if message.retain:
            await self.retain_message(session, message.topic, message.data, message.qos)
        await self._broadcast_message(session, message.topic, message.data, message.qos)

    async def _broadcast_message(
        self,
        session: Session | None,
        topic: str | None,
        data: bytes | bytearray | None,
        force_qos: int | None = None,
    ) -> None:
        for topic_filter in topics.filters_matching(topic or ""):
            for target, granted_qos in list(self._subscriptions.get(topic_filter, ())):
                qos = min(granted_qos, QOS_1 if force_qos is None else force_qos)
                message = ApplicationMessage(None, topic or "", qos, data or b"", retain=False)
                await self._enqueue(target, message)

    async def _enqueue(self, session: Session, message: ApplicationMessage) -> None:
        """Put `message` in a session's line; waits for room in the platform's, makes room in a unit's."""
        is_away = session.transitions.state != "connected"
        if is_away and (session.clean_session or message.qos == QOS_0):
            return
        waiting = session.retained_messages
        if waiting.full() and session.username != self._platform.username:
            waiting.get_nowait()
        await waiting.put(message)

    async def _publish_retained_messages_for_subscription(
        self, subscription: tuple[str, int], session: Session
    ) -> None:
        topic_filter, granted_qos = subscription
        for retained in self._retained_for(topic_filter):
            qos = min(granted_qos, QOS_1, retained.qos or QOS_0)
            await self._enqueue(session, ApplicationMessage(None, retained.topic, qos, retained.data, retain=True))

    def _retained_for(self, topic_filter: str) -> list[RetainedApplicationMessage]:
        if topic_filter != topics.READINGS_OF_ALL:
            retained = self._retained_messages.get(topic_filter)
            return [] if retained is None else [retained]
        return [
            retained
            for topic, retained in self._retained_messages.items()
            if topic_filter in topics.filters_matching(topic)
        ]


def _expiry_s(session: Session, handler: BrokerProtocolHandler | None) -> int:
    """Return how long the session outlives its connection, as the client asked last."""
    if isinstance(handler, Connection) and handler.dialect is not None:
        return handler.dialect.session_expiry_s
    return 0 if session.clean_session else NEVER_EXPIRES_S
