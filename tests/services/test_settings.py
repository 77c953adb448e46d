"""What an operator may set, and the one line that says what is wrong."""

import os
from pathlib import Path

import pytest

from services.settings import BadSettings, Settings, load


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch, tmp_path):
    """Neither the machine's environment nor a .env file of the checkout counts here."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.upper().startswith("SPARKS_"):
            monkeypatch.delenv(name)


def test_without_any_setting_everything_is_embedded():
    settings = load()

    assert settings.database == "sqlite:///data/sparks.db"
    assert settings.keys_dir == Path("data/keys")
    assert (settings.broker_url, settings.ledger_url) == (None, None)
    assert settings.ledger_origin == "sparks.example/ledger"
    assert (settings.http_port, settings.mqtt_port, settings.iso8583_port) == (8000, 1883, 8583)
    assert settings.clock == "system"
    assert not settings.accept_clock


def test_the_environment_goes_before_the_env_file(monkeypatch, tmp_path):
    (tmp_path / ".env").write_text("SPARKS_HTTP_PORT=9000\nSPARKS_MQTT_PORT=9001\nEDITOR=vi\n")
    monkeypatch.setenv("SPARKS_HTTP_PORT", "9100")

    settings = load()

    assert (settings.http_port, settings.mqtt_port) == (9100, 9001)


def test_an_empty_setting_is_one_that_is_not_set(monkeypatch):
    monkeypatch.setenv("SPARKS_BROKER_URL", "")

    assert load().broker_url is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SPARKS_HTTP_PORT", "http"),
        ("SPARKS_HTTP_PORT", "70000"),
        ("SPARKS_DATABASE_URL", "mysql://db"),
        ("SPARKS_BROKER_URL", "mqtt:"),
        ("SPARKS_LEDGER_URL", "ledger:8000"),
        ("SPARKS_LEDGER_URL", "http://ledger:8000,standby:8000"),
        ("SPARKS_LEDGER_ORIGIN", "two words"),
        ("SPARKS_LEDGER_ORIGIN", "a+b"),
        ("SPARKS_CLOCK", "sundial"),
        ("SPARKS_ACCEPT_CLOCK", "perhaps"),
    ],
)
def test_a_malformed_setting_is_one_line_that_names_it(monkeypatch, name, value):
    monkeypatch.setenv(name, value)

    with pytest.raises(BadSettings) as refused:
        load()

    assert str(refused.value).startswith(f"{name}={value}: ")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("place", ["environment", "file"])
def test_a_setting_that_does_not_exist_is_named_with_the_one_that_was_meant(monkeypatch, tmp_path, place):
    if place == "environment":
        monkeypatch.setenv("SPARKS_HTP_PORT", "1")
    else:
        (tmp_path / ".env").write_text("SPARKS_HTP_PORT=1\n")

    with pytest.raises(
        BadSettings, match=r"SPARKS_HTP_PORT: there is no such setting; did you mean SPARKS_HTTP_PORT\?"
    ):
        load()


def test_every_setting_of_the_interface_exists():
    promised = "database_url data_dir broker_url ledger_url ledger_origin http_port mqtt_port iso8583_port clock"

    assert set(promised.split()) <= set(Settings.model_fields)
