"""One unit's connection: what it sends and when, to a broker that asks who it is, in the clear and under TLS."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from random import Random
from threading import Condition

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from paho.mqtt.enums import MQTTProtocolVersion

from benchmarks.servers import Mosquitto, mosquitto, program
from contracts.wire import packs, receipts
from device_sim.loop import Loop
from device_sim.outbox import OutboxFile
from device_sim.publisher import RETRY_S_FIRST, RETRY_S_MAX, Broker, Login, Publisher, broker_at
from device_sim.unit import Unit
from tests.device_sim.tiny_platform import PLATFORM_KEYS, intervals, signed_receipt
from tests.device_sim.tiny_service import tiny_service

SEED = bytes([3]) * 32
NOW_S = 1_800_000_000
PATIENCE_S = 20
LOGIN = Login(username="unit-1", password="a password")


class Line:
    """A unit, its publisher and a loop that drives it."""

    def __init__(self, path: Path, broker: Broker, login: Login | None) -> None:
        self.turned = Condition()
        self.file = OutboxFile(path)
        self.unit = Unit(self.file.of("unit-1"), seed=SEED, platform=PLATFORM_KEYS)
        self.publisher = Publisher(self.unit, broker, login=login, now_s=lambda: NOW_S, chance=Random(1))
        self.loop = Loop(self.file, clock_s=time.monotonic, on_turn=self.on_turn)
        self.loop.add(self.publisher)

    def on_turn(self) -> None:
        with self.turned:
            self.turned.notify_all()

    def until(self, is_done) -> bool:
        with self.turned:
            return bool(self.turned.wait_for(is_done, PATIENCE_S))

    def measure(self, how_many: int = 1) -> None:
        for _ in range(how_many):
            start_s = NOW_S + 300 * self.unit.last_seq
            self.publisher.offer([self.unit.measure(intervals(start_s=start_s))])
        self.loop.wake(self.publisher)


@contextmanager
def a_line(path: Path, broker: Broker, login: Login | None = None) -> Iterator[Line]:
    line = Line(path / "outbox.sqlite", broker, login)
    line.loop.start()
    try:
        yield line
    finally:
        line.loop.stop()
        line.file.close()
    assert line.loop.crash is None


@pytest.mark.parametrize("protocol", [MQTTProtocolVersion.MQTTv311, MQTTProtocolVersion.MQTTv5])
def test_packs_arrive_and_receipts_come_back_in_both_versions_of_mqtt(tmp_path, broker, protocol):
    with (
        tiny_service(broker.port, {"unit-1": SEED}) as service,
        a_line(tmp_path, broker_at(broker.url, protocol=protocol)) as line,
    ):
        line.measure(1 + 12)  # receipts come after the first and after every twelfth since

        assert line.until(lambda: line.unit.covered_seq == 13)
        assert line.until(lambda: line.publisher.acknowledged >= 13)

    assert len(service.platforms["unit-1"].accepted) == 13


def test_a_message_on_another_of_its_topics_is_counted_as_ignored(tmp_path, broker):
    with (
        tiny_service(broker.port, {"unit-1": SEED}) as service,
        a_line(tmp_path, broker_at(broker.url)) as line,
    ):
        assert line.until(lambda: line.publisher.trouble is None)
        service.client.publish("sparks/v1/unit-1/commands", b"junk", qos=1)

        assert line.until(lambda: line.publisher.ignored == {"unreadable": 1})


@contextmanager
def a_guarded_broker(folder: Path) -> Iterator[Mosquitto]:
    """A broker that wants the password of LOGIN, with rights on that unit's topics only."""
    passwords, rights = folder / "passwords", folder / "rights"
    program_path = program("mosquitto_passwd")
    subprocess.run([program_path, "-b", "-c", passwords, LOGIN.username, LOGIN.password], check=True)
    subprocess.run([program_path, "-b", passwords, "unit-2", LOGIN.password], check=True)
    rights.write_text(
        "user unit-1\ntopic write sparks/v1/unit-1/readings\n"
        "topic read sparks/v1/unit-1/receipts\ntopic read sparks/v1/unit-1/commands\n"
    )
    for path in (passwords, rights):
        path.chmod(0o600)
    lines = f"password_file {passwords}\nacl_file {rights}"
    with mosquitto(lines, allow_anonymous=False) as running:
        yield running


@pytest.mark.parametrize("protocol", [MQTTProtocolVersion.MQTTv311, MQTTProtocolVersion.MQTTv5])
def test_a_unit_logs_in_and_a_wrong_password_is_a_trouble_that_it_tells(tmp_path, protocol):
    wrong = Login(username="unit-1", password="another")
    with a_guarded_broker(tmp_path) as broker:
        at = broker_at(broker.url, protocol=protocol)
        with a_line(tmp_path, at, LOGIN) as line:
            assert line.until(lambda: line.publisher.trouble is None)
        with a_line(tmp_path, at, wrong) as line:
            assert line.until(lambda: "Not authorized" in (line.publisher.trouble or ""))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "broker")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "certificate.pem", folder / "key.pem"
    paths[0].write_bytes(signed.public_bytes(Encoding.PEM))
    paths[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return paths


def test_under_tls_the_unit_trusts_the_authority_it_was_given_and_no_other(tmp_path, certificate):
    path, key = certificate
    lines = f"certfile {path}\nkeyfile {key}"
    with mosquitto(lines) as broker, tiny_service(broker.port, {"unit-1": SEED}, ca_file=path):
        url = f"mqtts://127.0.0.1:{broker.port}"
        with a_line(tmp_path, broker_at(url, ca_file=path)) as line:
            line.measure(1 + 24)
            assert line.until(lambda: line.unit.covered_seq == 25)
        with a_line(tmp_path, broker_at(url)) as line:
            assert line.until(lambda: "CERTIFICATE_VERIFY_FAILED" in (line.publisher.trouble or ""))


def a_publisher(file: OutboxFile, *, seed_of_chance: int = 1) -> Publisher:
    unit = Unit(file.of("unit-1"), seed=SEED, platform=PLATFORM_KEYS)
    chance = Random(seed_of_chance)
    return Publisher(unit, broker_at("mqtt://127.0.0.1:1"), login=None, now_s=lambda: NOW_S, chance=chance)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[OutboxFile]:
    opened = OutboxFile(tmp_path / "outbox.sqlite")
    yield opened
    opened.close()


def test_an_address_where_nobody_listens_is_a_trouble_and_keeps_the_queue(file):
    publisher = a_publisher(file)
    publisher.offer([publisher.unit.measure(intervals())])

    publisher.connect(lambda client: None)

    assert "refused" in (publisher.trouble or "")
    assert publisher.queued == 1


def test_retries_wait_twice_as_long_each_time_up_to_a_limit_with_full_jitter(file):
    delays_s = []
    for seed_of_chance in range(200):
        publisher = a_publisher(file, seed_of_chance=seed_of_chance)
        for _ in range(10):
            publisher.schedule_retry(100.0)
            assert publisher.retry_at_s is not None
            delays_s.append(publisher.retry_at_s - 100.0)

    first, second, last = (delays_s[k::10] for k in (0, 1, 9))
    for delays, limit_s in ((first, RETRY_S_FIRST), (second, 2 * RETRY_S_FIRST), (last, RETRY_S_MAX)):
        assert 0 <= min(delays) < 0.1 * limit_s
        assert 0.9 * limit_s < max(delays) <= limit_s


def test_a_number_offered_twice_is_queued_once_but_each_stray_message_counts(file):
    publisher = a_publisher(file)
    outgoing = publisher.unit.measure(intervals())

    publisher.offer([outgoing, outgoing])
    publisher.offer_stray(outgoing.message, after_seq=1)
    publisher.offer_stray(outgoing.message, after_seq=1)

    assert publisher.queued == 3


def test_what_a_receipt_covered_before_its_turn_is_not_sent(tmp_path, broker):
    with (
        tiny_service(broker.port, {"unit-1": SEED}) as service,
        a_line(tmp_path, broker_at(broker.url)) as line,
    ):
        assert line.until(lambda: line.publisher.trouble is None)
        first, second = (line.unit.measure(intervals(start_s=NOW_S + 300 * k)) for k in (0, 1))
        receipt = receipts.Receipt("unit-1", 1, packs.message_hash(first.message), 1, "tiny")
        line.unit.on_receipt(signed_receipt(receipt))
        line.publisher.offer([first, second])
        line.loop.wake(line.publisher)

        assert line.until(lambda: line.publisher.acknowledged == 1)
        assert line.publisher.queued == 0

    assert [message for _, message in service.received] in ([second.message], [])


@pytest.mark.parametrize("url", ["nats://127.0.0.1:4222", "127.0.0.1:1883", "mqtt://"])
def test_a_url_that_is_no_mqtt_broker_is_refused(url):
    with pytest.raises(ValueError, match="mqtt://host:port"):
        broker_at(url)


def test_ports_are_those_of_mqtt_unless_the_url_says_otherwise():
    ports = [broker_at(url).port for url in ("mqtt://broker", "mqtts://broker", "mqtt://broker:2883")]

    assert ports == [1883, 8883, 2883]
    assert broker_at("mqtt://broker").tls is None
    assert broker_at("mqtts://broker").tls is not None
