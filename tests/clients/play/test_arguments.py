"""The command line: defaults that depend on the system, and flags that would have no effect."""

import sys

import pytest
from nitrogen_play.arguments import play_arguments, replay_arguments

RETRO = ("--retro", "Airstriker-Genesis-v0")
WINDOW = ("--window", "Celeste")


@pytest.mark.parametrize(
    ("system", "game", "is_async"),
    [
        ("linux", WINDOW, True),
        ("linux", ("--process", "celeste"), True),
        ("linux", RETRO, False),
        ("win32", WINDOW, False),
        ("win32", RETRO, False),
    ],
)
def test_a_game_that_cannot_wait_is_played_asynchronously(
    monkeypatch: pytest.MonkeyPatch, system: str, game: tuple[str, str], *, is_async: bool
) -> None:
    monkeypatch.setattr(sys, "platform", system)
    assert play_arguments(game).is_async is is_async
    assert play_arguments((*game, "--async")).is_async
    assert not play_arguments((*game, "--sync")).is_async


@pytest.mark.parametrize(
    ("system", "flags", "said"),
    [
        ("linux", (), "say which game"),
        ("linux", ("--process", "a.exe", *RETRO), "say which game"),
        ("linux", (*RETRO, "--vizdoom", "basic"), "say which game"),
        ("linux", (*WINDOW, "--vizdoom", "basic"), "say which game"),
        ("linux", ("--vizdoom", "basic", "--state", "Level1"), "--state is for --retro only"),
        (
            "linux",
            ("--vizdoom", "basic", "--countdown", "0"),
            "--countdown is for --window and --process only",
        ),
        ("linux", ("--vizdoom", "basic", "--fps", "35"), "--fps has no effect"),
        ("linux", (*RETRO, "--port", "0"), "0 is not a port (1 to 65535)"),
        ("linux", (*WINDOW, "--state", "Level1"), "--state is for --retro only"),
        ("linux", (*WINDOW, "--no-pause"), "--no-pause is for Windows games that are played in turns"),
        ("win32", (*WINDOW, "--no-pause", "--async"), "--no-pause is for Windows games"),
        ("linux", (*RETRO, "--no-pause"), "--no-pause is for --window and --process only"),
        ("linux", (*RETRO, "--gamepad", "virtual"), "--gamepad is for --window and --process only"),
        ("linux", (*RETRO, "--countdown", "0"), "--countdown is for --window and --process only"),
        ("linux", (*RETRO, "--fps", "30"), "--fps has no effect"),
        ("linux", (*RETRO, "--out", "there", "--no-record"), "--out has no effect together with --no-record"),
        ("linux", (*RETRO, "--client-key", "a.key_secret"), "--client-key and --server-key go together"),
        ("linux", (*RETRO, "--no-conditioning"), "--no-conditioning has no effect in turns"),
        ("linux", (*WINDOW, "--takeover", "pad", "--gamepad", "none"), "--takeover has no effect together"),
        ("linux", (*RETRO, "--server-key", "server.key"), "--client-key and --server-key go together"),
    ],
)
def test_a_flag_without_effect_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    system: str,
    flags: tuple[str, ...],
    said: str,
) -> None:
    monkeypatch.setattr(sys, "platform", system)
    with pytest.raises(SystemExit) as ended:
        play_arguments(flags)
    assert ended.value.code == 2
    assert f"nitrogen-play: error: {said}" in capsys.readouterr().err.replace("argument --port: ", "")


@pytest.mark.parametrize(
    "flags", [(*WINDOW, "--no-pause"), (*RETRO, "--fps", "30"), (*RETRO, "--countdown", "1")]
)
def test_so_it_is_in_a_replay(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], flags: tuple[str, ...]
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    with pytest.raises(SystemExit):
        replay_arguments(("0001_ACTIONS.jsonl", *flags))
    assert f"nitrogen-play replay: error: {flags[2]} " in capsys.readouterr().err


def test_flags_with_an_effect_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    assert play_arguments((*RETRO, "--async", "--fps", "30")).fps == 30
    monkeypatch.setattr(sys, "platform", "win32")
    assert play_arguments((*WINDOW, "--no-pause", "--gamepad", "none")).no_pause
    assert replay_arguments(("0001_ACTIONS.jsonl", *WINDOW, "--no-pause")).no_pause
