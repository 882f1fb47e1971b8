"""The command line of `nitrogen-play score`."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from nitrogen_play.flag_values import at_least, positive
from nitrogen_play.score.servers import ServerName, name_clash, server_name

_DESCRIPTION = (
    "Play the same episodes with several servers or models, and say which are worse than the first."
)
_EXIT_CODES = (
    "Exit code: 0 if no server is worse than the first, 3 if one is, 1 after an error or if a server "
    "finished no episode, 2 for a wrong flag, 130 after Ctrl-C; the tables then show the finished episodes."
)


def score_arguments(words: Sequence[str]) -> argparse.Namespace:
    """Return the flags; a wrong one ends the program with a sentence."""
    parser = argparse.ArgumentParser("nitrogen-play score", description=_DESCRIPTION, epilog=_EXIT_CODES)
    game = parser.add_argument_group("games (at least one; repeat a flag for more)")
    game.add_argument(
        "--retro", action=_Game, metavar="GAME", help="an emulator's game, by stable-retro's name"
    )
    game.add_argument(
        "--vizdoom", action=_Game, metavar="SCENARIO", help="a scenario of Doom, by its name or its .cfg file"
    )
    game.add_argument("--state", help="with --retro: the saved state to begin with (the game's default)")
    server = parser.add_argument_group("servers")
    server.add_argument(
        "--server",
        action="append",
        type=_server,
        required=True,
        dest="servers",
        metavar="[NAME=]HOST:PORT[/MODEL]",
        help="a server's ZeroMQ port, and one of its models (its default); repeat it to compare several",
    )
    server.add_argument("--game", help="a game of the models' table, by name or id (the server's default)")
    server.add_argument(
        "--client-key", type=Path, metavar="FILE", help="NAME.key_secret, for servers with keys"
    )
    server.add_argument("--server-key", type=Path, metavar="FILE", help="server.key, for servers with keys")
    server.add_argument(
        "--timeout", type=positive, default=10.0, metavar="S", help="wait S seconds for a reply (10)"
    )
    episodes = parser.add_argument_group("episodes")
    episodes.add_argument(
        "--episodes", type=at_least(1), default=10, metavar="N", help="play N episodes with each player (10)"
    )
    episodes.add_argument(
        "--max-ticks", type=at_least(1), metavar="N", help="end an episode after N ticks (60 s of the game)"
    )
    episodes.add_argument(
        "--seed", type=at_least(0), default=0, help="fixes how episodes begin, and all noise (0)"
    )
    episodes.add_argument(
        "--actions-per-step",
        type=at_least(1),
        metavar="N",
        help="ask for the next chunk after N steps of each (after all of them)",
    )
    episodes.add_argument(
        "--allow-menu", action="store_true", help="let the players press START, BACK and GUIDE"
    )
    report = parser.add_argument_group("report")
    report.add_argument(
        "--by", default="reward", metavar="MEASURE", help="the value that decides; more is better (reward)"
    )
    report.add_argument("--json", type=Path, metavar="FILE", help="write all results to FILE, as JSON")
    report.add_argument(
        "--junit", type=Path, metavar="FILE", help="write a test case for each server to FILE"
    )
    parser.set_defaults(games=[])
    arguments = parser.parse_args(words)
    problem = _problem(arguments)
    if problem is not None:
        parser.error(problem)
    return arguments


class _Game(argparse.Action):
    """Keeps the games of both kinds in their order, as pairs of kind and name."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        namespace.games = [*namespace.games, (self.dest, values)]


def _problem(arguments: argparse.Namespace) -> str | None:
    if not arguments.games:
        return "say which game: --retro GAME or --vizdoom SCENARIO"
    if arguments.state is not None and "retro" not in {kind for kind, _ in arguments.games}:
        return "--state is for --retro only"
    if (arguments.client_key is None) != (arguments.server_key is None):
        return "--client-key and --server-key go together"
    for flag, path in (("--json", arguments.json), ("--junit", arguments.junit)):
        if path is not None and not path.parent.is_dir():
            return f"{flag}: there is no folder {path.parent}"
    return name_clash(arguments.servers)


def _server(text: str) -> ServerName:
    try:
        return server_name(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
