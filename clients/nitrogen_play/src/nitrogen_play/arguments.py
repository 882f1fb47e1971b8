"""The command line."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from nitrogen_play import __version__
from nitrogen_play.flag_values import at_least, port, positive
from nitrogen_play.noise import FRESH, Noise, read_noise

_DESCRIPTION = (
    "Let NitroGen play a game. Three commands have flags of their own (-h): `nitrogen-play replay` plays a "
    "recording's actions again, `nitrogen-play score` compares servers and models, and "
    "`nitrogen-play dataset` makes a data set of recordings."
)


def play_arguments(words: Sequence[str]) -> argparse.Namespace:
    """Return the flags of `nitrogen-play`; a wrong one ends the program with a sentence."""
    parser = argparse.ArgumentParser("nitrogen-play", description=_DESCRIPTION)
    parser.add_argument("--version", action="version", version=__version__)
    _add_game(parser)
    _add_server(parser)
    _add_model(parser)
    _add_playing(parser)
    _add_recording(parser)
    arguments = _checked(parser, parser.parse_args(words))
    if (arguments.client_key is None) != (arguments.server_key is None):
        parser.error("--client-key and --server-key go together")
    if arguments.seed is not None and arguments.noise is not FRESH:
        parser.error("--seed already fixes the noise: leave out --noise or --seed")
    if arguments.no_conditioning and not arguments.is_async:
        parser.error("--no-conditioning has no effect in turns, where no chunk continues another")
    if arguments.takeover is not None and arguments.gamepad == "none":
        parser.error("--takeover has no effect together with --gamepad none, which presses nothing")
    return arguments


def replay_arguments(words: Sequence[str]) -> argparse.Namespace:
    """Return the flags of `nitrogen-play replay`; a wrong one ends the program with a sentence."""
    parser = argparse.ArgumentParser(
        "nitrogen-play replay", description="Play a recording's actions again, without a server."
    )
    parser.add_argument(
        "file", type=Path, metavar="FILE", help="NNNN_ACTIONS.jsonl, or the reference's NNNN_ACTIONS.json"
    )
    _add_game(parser)
    _add_recording(parser)
    parser.set_defaults(is_async=False)
    return _checked(parser, parser.parse_args(words))


def _add_server(parser: argparse.ArgumentParser) -> None:
    server = parser.add_argument_group("server")
    server.add_argument("--ip", "--host", default="localhost", metavar="HOST", help="the server (localhost)")
    server.add_argument("--port", type=port, default=5555, help="its ZeroMQ port (5555)")
    server.add_argument(
        "--client-key", type=Path, metavar="FILE", help="NAME.key_secret, for servers with keys"
    )
    server.add_argument("--server-key", type=Path, metavar="FILE", help="server.key, for servers with keys")
    server.add_argument(
        "--timeout", type=positive, default=10.0, metavar="S", help="wait S seconds for a reply (10)"
    )
    server.add_argument(
        "--patience",
        type=positive,
        default=120.0,
        metavar="S",
        help="end after S seconds without a server (120)",
    )


def _add_model(parser: argparse.ArgumentParser) -> None:
    model = parser.add_argument_group("model")
    model.add_argument("--model", help="one of the server's models (the server's default)")
    model.add_argument("--game", help="a game of the model's table, by name or id (the server's default)")
    model.add_argument(
        "--seed", type=at_least(0), help="fix the noise: the same pictures then get the same actions"
    )
    model.add_argument(
        "--noise",
        type=_noise,
        default="fresh",
        metavar="KIND",
        help="the noise: fresh (each chunk has its own), memory:SHARE (each chunk keeps this share of the "
        "last one's, 0 to 1), or tick (each tick of the game has its own) (fresh)",
    )


def _add_playing(parser: argparse.ArgumentParser) -> None:
    play = parser.add_argument_group("playing")
    play.add_argument("--allow-menu", action="store_true", help="let the model press START, BACK and GUIDE")
    how = play.add_mutually_exclusive_group()
    how.add_argument(
        "--async",
        action="store_true",
        dest="is_async",
        help="ask for the next chunk while this one is played (the default for Linux windows)",
    )
    how.add_argument(
        "--sync",
        action="store_false",
        dest="is_async",
        help="ask, play the chunk, ask again (the default for everything else)",
    )
    parser.set_defaults(is_async=None)
    play.add_argument(
        "--actions-per-step",
        type=at_least(1),
        metavar="N",
        help="ask for the next chunk after N steps of each (after all of them)",
    )
    play.add_argument("--steps", type=at_least(1), metavar="N", help="stop after N steps (never)")
    play.add_argument(
        "--no-conditioning",
        action="store_true",
        help="with --async: do not condition chunks on the one before",
    )
    play.add_argument(
        "--takeover",
        choices=("keys", "pad"),
        help="let a human take over: with keys (Tab takes over and gives back), or with a pad (touching a "
        "gamepad takes over, letting it go gives back)",
    )
    play.add_argument(
        "--summary", type=Path, metavar="FILE", help="write the figures of the last line to FILE, as JSON"
    )


def _add_game(parser: argparse.ArgumentParser) -> None:
    game = parser.add_argument_group("game (one of --process, --window, --retro, --vizdoom)")
    game.add_argument("--process", metavar="NAME", help="the window of a process, for example celeste.exe")
    game.add_argument("--window", metavar="TITLE", help="the window whose title contains this")
    game.add_argument("--retro", metavar="GAME", help="an emulator's game, by stable-retro's name")
    game.add_argument(
        "--vizdoom", metavar="SCENARIO", help="a scenario of Doom, by ViZDoom's name or its .cfg file"
    )
    game.add_argument("--state", help="with --retro: the saved state to begin with (the game's default)")
    game.add_argument(
        "--fps",
        type=positive,
        help="ticks per second (60; emulators and Doom: their own rate, and only with --async)",
    )
    game.add_argument(
        "--no-pause", action="store_true", help="Windows: let the game run on while the model thinks"
    )
    game.add_argument(
        "--gamepad",
        choices=("virtual", "none"),
        help="for a window: none presses nothing, so that you only watch (virtual)",
    )
    game.add_argument(
        "--countdown",
        type=at_least(0),
        metavar="S",
        help="for a window: S seconds to bring it to the front (3)",
    )


def _add_recording(parser: argparse.ArgumentParser) -> None:
    record = parser.add_argument_group("recording")
    record.add_argument("--out", type=Path, metavar="DIR", help="the folder for recordings (out)")
    record.add_argument("--no-record", action="store_true", help="record nothing")


def _checked(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> argparse.Namespace:
    """Return the flags with their defaults; one that would have no effect ends the program."""
    has_window = arguments.process is not None or arguments.window is not None
    games = (has_window, arguments.retro is not None, arguments.vizdoom is not None)
    if games.count(True) != 1:
        parser.error(
            "say which game: --process NAME or --window TITLE, or else --retro GAME or --vizdoom SCENARIO"
        )
    if arguments.is_async is None:
        arguments.is_async = has_window and sys.platform == "linux"
    without_effect = _without_effect(arguments, has_window=has_window)
    if without_effect is not None:
        parser.error(without_effect)
    if arguments.out is None:
        arguments.out = Path("out")
    if arguments.gamepad is None:
        arguments.gamepad = "virtual"
    if arguments.countdown is None:
        arguments.countdown = 3
    return arguments


def _without_effect(arguments: argparse.Namespace, *, has_window: bool) -> str | None:
    """Return a sentence about the first flag that would change nothing; None without one."""
    if arguments.state is not None and arguments.retro is None:
        return "--state is for --retro only"
    if has_window:
        if arguments.no_pause and (sys.platform != "win32" or arguments.is_async):
            return "--no-pause is for Windows games that are played in turns: all others run on without it"
    else:
        if arguments.fps is not None and not arguments.is_async:
            return "--fps has no effect: an emulator that waits for the model runs as fast as it can"
        for flag, is_given in (
            ("--no-pause", arguments.no_pause),
            ("--gamepad", arguments.gamepad is not None),
            ("--countdown", arguments.countdown is not None),
        ):
            if is_given:
                return f"{flag} is for --window and --process only"
    if arguments.no_record and arguments.out is not None:
        return "--out has no effect together with --no-record"
    return None


def _noise(text: str) -> Noise:
    try:
        return read_noise(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not fresh, tick, or memory:SHARE with a share from 0 to 1, for example memory:0.9"
        ) from None
