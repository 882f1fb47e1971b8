"""`nitrogen-play score`: games, servers and episodes put together."""

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import FrameType
from typing import Any

import nitrogen_client
import numpy as np
import rich.console
import rich.text

from nitrogen_play.asking import in_flags, requested_game
from nitrogen_play.errors import PlayError, ServerError
from nitrogen_play.frames import SIDE
from nitrogen_play.games.retro import open_retro
from nitrogen_play.games.vizdoom import open_vizdoom
from nitrogen_play.score.arguments import score_arguments
from nitrogen_play.score.files import write_json, write_junit
from nitrogen_play.score.players import IdlePlayer, RandomPlayer, ScoredPlayer, ServerPlayer
from nitrogen_play.score.results import GameScore, Record
from nitrogen_play.score.rounds import RoundSettings, play_rounds
from nitrogen_play.score.servers import ServerName
from nitrogen_play.score.tables import tables
from nitrogen_play.server_port import other_server
from nitrogen_play.stopping import calling_when_stopped

WORSE, INTERRUPTED = 3, 130
_EPISODE_S = 60
# The released model's, for servers that do not say.
_HORIZON = 18
_FIRST_FRAME = np.zeros((SIDE, SIDE, 3), np.uint8)


@dataclass(frozen=True)
class _Run:
    """The things that all games have in common; `scores` grows with them."""

    arguments: argparse.Namespace
    players: Sequence[ScoredPlayer]
    console: rich.console.Console
    scores: list[GameScore]


def score(words: Sequence[str]) -> int:
    """Run the command line; return the exit code, as `nitrogen-play score -h` has them."""
    arguments = score_arguments(words)
    console = rich.console.Console()
    scores: list[GameScore] = []
    code = 0
    try:
        with ExitStack() as stack, calling_when_stopped(_interrupt):
            run = _Run(arguments, _players(stack, arguments), console, scores)
            for kind, name in arguments.games:
                _play_game(run, kind, name)
    except PlayError as error:
        sys.stderr.write(f"nitrogen-play score: {error}\n")
        code = 1
    except KeyboardInterrupt:
        console.print("stopped: the tables show the episodes that were finished")
        code = INTERRUPTED
    begun = [game for game in scores if any(record.finished for record in game.records)]
    return _report(arguments, console, begun, code)


def _report(
    arguments: argparse.Namespace, console: rich.console.Console, scores: Sequence[GameScore], code: int
) -> int:
    """Show and write what was finished; return the exit code, which is `code` unless that is 0."""
    for game in scores:
        for table in tables(game):
            console.print(table, soft_wrap=isinstance(table, rich.text.Text))
    try:
        if arguments.json is not None:
            settings = {"seed": arguments.seed, "is_complete": code == 0, "max_ticks": arguments.max_ticks}
            write_json(arguments.json, scores, settings)
        if arguments.junit is not None:
            write_junit(arguments.junit, scores)
    except OSError as error:
        sys.stderr.write(f"nitrogen-play score: the report cannot be written: {error}\n")
        return code or 1
    if any(not server.finished for game in scores for server in game.servers):
        return code or 1
    return code or (WORSE if any(game.worse() for game in scores) else 0)


def _play_game(run: _Run, kind: str, name: str) -> None:
    """Play a game's episodes; its score is in `run.scores` from the first on."""
    arguments = run.arguments
    addresses = {server.name: server.address for server in arguments.servers}
    records = [Record(player.name, addresses.get(player.name)) for player in run.players]
    score = GameScore(name, arguments.by, records)
    game = open_retro(name, arguments.state, None) if kind == "retro" else open_vizdoom(name, None)
    try:
        run.scores.append(score)
        settings = RoundSettings(
            arguments.episodes,
            arguments.seed,
            arguments.max_ticks or round(_EPISODE_S * game.clock.ticks_per_s),
            arguments.actions_per_step,
        )
        play_rounds(game, run.players, score, settings, run.console)
    finally:
        game.close()


def _players(stack: ExitStack, arguments: argparse.Namespace) -> list[ScoredPlayer]:
    """Connect to the servers; return their players and the two that need none."""
    servers = []
    horizons = []
    for server in arguments.servers:
        client = stack.enter_context(_client(server, arguments))
        info = _info(client, server)
        ticks_per_step = max(1, int(info.get("action_downsample_ratio", 1)))
        horizons.append(int(info.get("horizon", _HORIZON)))
        servers.append(ServerPlayer(server.name, client, ticks_per_step, allow_menu=arguments.allow_menu))
    horizon, ticks_per_step = horizons[0], servers[0].ticks_per_step
    random = RandomPlayer(horizon, ticks_per_step, allow_menu=arguments.allow_menu)
    return [*servers, random, IdlePlayer(horizon, ticks_per_step)]


def _client(server: ServerName, arguments: argparse.Namespace) -> nitrogen_client.ModelClient:
    try:
        return nitrogen_client.ModelClient(
            server.host,
            server.port,
            timeout_s=arguments.timeout,
            game=requested_game(arguments.game),
            model=server.model,
            client_key=arguments.client_key,
            server_key=arguments.server_key,
        )
    except nitrogen_client.NitrogenError as error:
        raise ServerError(f"{server.name}: {in_flags(error)}") from error


def _info(client: nitrogen_client.ModelClient, server: ServerName) -> dict[str, Any]:
    """Return a server's facts; a predict comes first, so that what it refuses shows at once."""
    try:
        client.predict(_FIRST_FRAME, seed=0)
        return client.info()
    except nitrogen_client.ServerError as error:
        raise ServerError(f"{server.name}: {error}") from error
    except nitrogen_client.NitrogenError as error:
        said = other_server(server.host, server.port) or in_flags(error)
        raise ServerError(f"{server.name}: {said}") from error


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
