"""The settings: flags, variables, defaults, and the sentence that a wrong value gets."""

import pytest

from gateway.command_line import parse_settings
from gateway.errors import StartError
from gateway.settings import GatewaySettings


@pytest.fixture(autouse=True)
def _no_variables_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in GatewaySettings.model_fields:
        monkeypatch.delenv(f"NITROGEN_{name.upper()}", raising=False)


def test_defaults() -> None:
    settings = parse_settings([])
    assert (settings.triton, settings.model, settings.game) == ("127.0.0.1:8001", "nitrogen", None)
    assert (settings.zmq_port, settings.tcp_port, settings.web_port) == (5555, 5556, 5557)
    assert settings.http_port == 8080
    deadlines = (settings.zmq_deadline_s, settings.tcp_deadline_s, settings.web_deadline_s)
    assert deadlines == (25.0, 4.0, 25.0)


def test_flag_wins_over_variable_wins_over_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NITROGEN_TCP_PORT", "7001")
    monkeypatch.setenv("NITROGEN_ZMQ_PORT", "7002")
    settings = parse_settings(["--tcp-port", "7003"])
    assert (settings.tcp_port, settings.zmq_port, settings.http_port) == (7003, 7002, 8080)


def test_an_empty_variable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NITROGEN_GAME", "")
    assert parse_settings([]).game is None


def test_embedding_code_sets_fields_by_name() -> None:
    assert GatewaySettings(triton="[::1]:9", zmq_port=0).triton == "[::1]:9"


def test_settings_do_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        GatewaySettings().zmq_port = 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--zmq-port", "70000"], ["--zmq-port", "'70000'", "0 up to 65535"]),
        (["--tcp-port=x"], ["--tcp-port", "'x'", "whole number"]),
        (["--tcp-deadline-s", "0"], ["--tcp-deadline-s", "'0'", "above 0"]),
        (["--idle-timeout-s", "nan"], ["--idle-timeout-s", "'nan'", "a number"]),
        (["--triton", "localhost"], ["--triton", "'localhost'", "HOST:PORT"]),
        (["--triton", "localhost:99999"], ["--triton", "HOST:PORT"]),
        (["--otlp-endpoint", "one:4317,other:4317"], ["--otlp-endpoint", "HOST:PORT"]),
        (["--log-level", "loud"], ["--log-level", "'loud'", "debug, info"]),
        (["--model", "a/b"], ["--model", "'a/b'"]),
        (["--game", ""], ["empty"]),
        (["--host="], ["--host=", "empty"]),
        (["--colour", "red"], ["--colour"]),
        (["surplus"], ["surplus"]),
        (["--game"], ["--game"]),
    ],
)
def test_a_wrong_flag_is_one_sentence(arguments: list[str], words: list[str]) -> None:
    with pytest.raises(StartError) as caught:
        parse_settings(arguments)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert all(word in sentence for word in words), sentence


def test_a_wrong_variable_is_named_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NITROGEN_MAX_IN_FLIGHT_PER_CLIENT", "-1")
    with pytest.raises(StartError, match=r"^NITROGEN_MAX_IN_FLIGHT_PER_CLIENT is '-1'"):
        parse_settings([])


def test_help_names_every_flag(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse_settings(["-h"])
    assert caught.value.code == 0
    help_text = capsys.readouterr().out
    for name in GatewaySettings.model_fields:
        assert f"--{name.replace('_', '-')} " in help_text
