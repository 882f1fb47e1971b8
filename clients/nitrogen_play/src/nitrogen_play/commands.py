"""Runs a command line: puts a game, a server and a recording together, and plays."""

import argparse
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Any

import nitrogen_client
import rich.console
import rich.text

from nitrogen_play.arguments import play_arguments, replay_arguments
from nitrogen_play.asking import Asker, in_flags, requested_game
from nitrogen_play.errors import MissingPackageError, PlayError, ServerError
from nitrogen_play.games.open_window import WindowOptions, open_window
from nitrogen_play.games.retro import open_retro
from nitrogen_play.games.vizdoom import open_vizdoom
from nitrogen_play.interfaces import Game
from nitrogen_play.live_line import live_line
from nitrogen_play.meter import Meter
from nitrogen_play.noise import FRESH
from nitrogen_play.packages import needed
from nitrogen_play.player import Player, PlayOptions
from nitrogen_play.recording.actions_file import read_steps
from nitrogen_play.recording.recorder import Recorder, new_recording
from nitrogen_play.replay import replay
from nitrogen_play.score.command import score
from nitrogen_play.server_port import other_server
from nitrogen_play.stopping import calling_when_stopped
from nitrogen_play.summary_file import summary_file
from nitrogen_play.takeover.opening import open_keyboard, open_pad

# As in the reference; the model's chunks are for as many a second.
_WINDOW_TICKS_PER_S = 60.0


def run(words: Sequence[str]) -> int:
    """Run a command line; return the exit code: 0, or 1 after an error, which is on stderr as a sentence."""
    if words[:1] == ["score"]:
        return score(words[1:])
    if words[:1] == ["dataset"]:
        return _dataset(words[1:])
    if words[:1] == ["replay"]:
        arguments = replay_arguments(words[1:])
        command = _replay
    else:
        arguments = play_arguments(words)
        command = _play
    console = rich.console.Console()
    try:
        command(arguments, console)
    except PlayError as error:
        sys.stderr.write(f"nitrogen-play: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 0
    return 0


def _dataset(words: Sequence[str]) -> int:
    try:
        from nitrogen_play.dataset.command import main  # noqa: PLC0415 - needs an extra's packages
    except ImportError as error:
        sys.stderr.write(
            f"nitrogen-play: a package for data sets is missing ({error}). In the project's folder: "
            "pip install ./clients/nitrogen_client ./clients/nitrogen_dataset "
            "'./clients/nitrogen_play[dataset]'\n"
        )
        return 1
    return main(words)


def _play(arguments: argparse.Namespace, console: rich.console.Console) -> None:
    say = _sayer(console)
    with ExitStack() as stack:
        human = open_pad(stack, say) if arguments.takeover == "pad" else None
        game = _open_game(arguments, say)
        stack.callback(game.close)
        with ExitStack() as until_asker:
            client = until_asker.enter_context(_client(arguments))
            say(f"connecting to {arguments.ip}:{arguments.port} (ZeroMQ)")
            info = _info(client, arguments)
            ticks_per_step = max(1, int(info.get("action_downsample_ratio", 1)))
            is_current = "conditioning" in info
            if arguments.noise is not FRESH and not is_current:
                raise ServerError("the server is older than 0.3 and would ignore --noise: leave it out")
            until_asker.pop_all()
        asker = stack.enter_context(
            Asker(
                client,
                allow_menu=arguments.allow_menu,
                resize_mode=game.resize_mode,
                noise=arguments.noise,
                ticks_per_step=ticks_per_step,
                tells_ticks=is_current,
            )
        )
        checkpoint = str(info.get("ckpt_path", "unknown"))
        say(f"{game.title}, played by {checkpoint} at {arguments.ip}:{arguments.port}; Ctrl-C stops")
        options = PlayOptions(
            steps=arguments.steps,
            steps_per_chunk=arguments.actions_per_step,
            ticks_per_step=ticks_per_step,
            is_async=arguments.is_async,
            patience_s=arguments.patience,
            is_conditioned=bool(info.get("conditioning")) and not arguments.no_conditioning,
        )
        recorder = _recorder(stack, arguments, checkpoint, game, say)
        game.wake()
        _count_down(arguments, say)
        stop = stack.enter_context(_stopped_by_signals())
        if arguments.takeover == "keys":
            human = open_keyboard(stack, game, say)
        meter = Meter()
        stack.enter_context(summary_file(arguments.summary, meter))
        stack.enter_context(live_line(console, meter))
        Player(game, asker, options, meter, recorder, say, stop, human).play()


def _replay(arguments: argparse.Namespace, console: rich.console.Console) -> None:
    say = _sayer(console)
    steps = read_steps(arguments.file)
    with ExitStack() as stack:
        game = _open_game(arguments, say)
        stack.callback(game.close)
        say(f"{game.title}: {len(steps)} steps of {arguments.file}; Ctrl-C stops")
        recorder = _recorder(stack, arguments, "replay", game, say)
        game.wake()
        _count_down(arguments, say)
        stop = stack.enter_context(_stopped_by_signals())
        meter = Meter()
        stack.enter_context(live_line(console, meter))
        replay(game, steps, meter, recorder, stop)


def _client(arguments: argparse.Namespace) -> nitrogen_client.ModelClient:
    try:
        return nitrogen_client.ModelClient(
            arguments.ip,
            arguments.port,
            timeout_s=arguments.timeout,
            retries=0,  # Send the newest picture instead of an old one again.
            seed=arguments.seed,
            game=requested_game(arguments.game),
            model=arguments.model,
            client_key=arguments.client_key,
            server_key=arguments.server_key,
        )
    except nitrogen_client.NitrogenError as error:
        raise ServerError(in_flags(error)) from error


def _info(client: nitrogen_client.ModelClient, arguments: argparse.Namespace) -> dict[str, Any]:
    try:
        client.reset()
        return client.info()
    except nitrogen_client.ServerError as error:
        raise ServerError(str(error)) from error
    except nitrogen_client.NitrogenError as error:
        raise ServerError(other_server(arguments.ip, arguments.port) or in_flags(error)) from error


def _open_game(arguments: argparse.Namespace, say: Callable[[str], None]) -> Game:
    pictures_per_s = (arguments.fps or 0.0) if arguments.is_async else None
    if arguments.retro is not None:
        say(f"opening {arguments.retro}")
        return open_retro(arguments.retro, arguments.state, pictures_per_s)
    if arguments.vizdoom is not None:
        say(f"opening {arguments.vizdoom}")
        return open_vizdoom(arguments.vizdoom, pictures_per_s)
    options = WindowOptions(
        process=arguments.process,
        title=arguments.window,
        ticks_per_s=arguments.fps or _WINDOW_TICKS_PER_S,
        pauses=sys.platform == "win32" and not (arguments.is_async or arguments.no_pause),
        has_gamepad=arguments.gamepad == "virtual",
    )
    return open_window(options, say)


def _recorder(
    stack: ExitStack, arguments: argparse.Namespace, name: str, game: Game, say: Callable[[str], None]
) -> Recorder | None:
    """Begin a recording in a folder called `name`, which ends with `stack`; None if none is wanted."""
    if arguments.no_record:
        return None
    with_films = True
    try:
        needed("av", "record", "a film")
    except MissingPackageError as error:
        say(f"recording the actions without films: {error}")
        with_films = False
    paths = new_recording(arguments.out, name)
    say(
        f"recording to {paths.actions}"
        + (f", {paths.debug.name} and {paths.clean.name}" if with_films else "")
    )
    recorder = Recorder(paths, game.clock.ticks_per_s, say, with_films=with_films, title=game.title)
    stack.callback(recorder.close)
    return recorder


def _count_down(arguments: argparse.Namespace, say: Callable[[str], None]) -> None:
    if arguments.retro is None and arguments.vizdoom is None:
        for seconds in range(arguments.countdown, 0, -1):
            say(f"bring the game's window to the front: {seconds}")
            time.sleep(1)


@contextmanager
def _stopped_by_signals() -> Iterator[threading.Event]:
    """Yield an event that Ctrl-C or a request to end sets; a second one interrupts at once."""
    stop = threading.Event()

    def set_stop(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    with calling_when_stopped(set_stop):
        yield stop


def _sayer(console: rich.console.Console) -> Callable[[str], None]:
    def say(sentence: str) -> None:
        console.print(rich.text.Text(sentence), soft_wrap=True)

    return say
