"""Doom's scenarios, by ViZDoom: an engine in a process of its own, which stands still between pictures."""

import signal
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, chdir, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from nitrogen_play.clocks import Pacer
from nitrogen_play.errors import GameLostError, GameNotFoundError
from nitrogen_play.games.vizdoom_pad import VizdoomPad
from nitrogen_play.interfaces import Game, Picture
from nitrogen_play.packages import needed
from nitrogen_play.pad import NEUTRAL, PadState

# These wait for other players on a network.
_FOR_SEVERAL = frozenset({"cig", "multi", "multi_duel"})
_LEVELS = ("doom_scenario_path", "doom_game_path")
# Variables that every scenario counts, beside those of its .cfg.
_COUNTED = ("KILLCOUNT", "ITEMCOUNT", "SECRETCOUNT", "DAMAGECOUNT", "DAMAGE_TAKEN", "HEALTH", "ARMOR")


class VizdoomGame:
    """A scenario's screen, gamepad, clock and episodes in one, because a tic of the engine is all four.

    Args:
        vizdoom: the package.
        engine: its game, begun.
        pictures_per_s: how fast it goes on by itself, 0 for Doom's own 35; None to stand still between ticks,
            which then take no longer than they must.
    """

    def __init__(self, vizdoom: Any, engine: Any, pictures_per_s: float | None) -> None:  # noqa: ANN401 - untyped
        self._engine = engine
        self._lost = (
            vizdoom.ViZDoomErrorException,
            vizdoom.ViZDoomIsNotRunningException,
            vizdoom.ViZDoomUnexpectedExitException,
        )
        self.pad = VizdoomPad([button.name for button in engine.get_available_buttons()])
        counted = [getattr(vizdoom.GameVariable, name) for name in _COUNTED]
        self._variables = dict.fromkeys([*engine.get_available_game_variables(), *counted])
        self.ticks_per_s = float(vizdoom.DEFAULT_TICRATE)
        self.stands_still = pictures_per_s is None
        self._pacer = None if pictures_per_s is None else Pacer(pictures_per_s or self.ticks_per_s)
        self._tick = 0
        self._state = NEUTRAL
        self._seed = 0
        self._last_values: dict[str, float] | None = None
        self._picture = self._seen()

    def capture(self) -> Picture:
        """Return the present picture."""
        return self._picture

    def apply(self, state: PadState) -> None:
        """Hold exactly these buttons and sticks from the next tick on."""
        self._state = state

    def release(self) -> None:
        """Hold nothing."""
        self._state = NEUTRAL

    def now(self) -> int:
        """Return how many tics the engine has made."""
        return self._tick

    def tick(self) -> bool:
        """Make the next tic; True if the episode was over and the next one began.

        Raises:
            GameLostError: the engine has ended.
        """
        if self._pacer is not None:
            self._pacer.wait()
        try:
            self._engine.make_action(self.pad.action(self._state))
            self._tick += 1
            if self._engine.is_episode_finished():
                self._last_values = self._present_values()
                self._begin(self._seed + 1)
                return True
            self._picture = self._seen()
        except self._lost as error:
            raise GameLostError(f"ViZDoom's engine has ended: {error}") from error
        return False

    def is_late(self) -> bool:
        """Return whether the next picture is due already."""
        return self._pacer is not None and self._pacer.is_late()

    def begin(self, seed: int) -> None:
        """Begin an episode; the same buttons then lead to the same pictures as with this seed before."""
        self._last_values = None
        self._begin(seed)

    def values(self) -> dict[str, float]:
        """Return the scenario's reward so far and its variables; after the end, those it ended with."""
        return self._present_values() if self._last_values is None else self._last_values

    def _begin(self, seed: int) -> None:
        self._seed = seed
        self._engine.set_seed(seed)
        self._engine.new_episode()
        self._picture = self._seen()

    def _present_values(self) -> dict[str, float]:
        variables = {
            variable.name.lower(): float(self._engine.get_game_variable(variable))
            for variable in self._variables
        }
        return {"reward": float(self._engine.get_total_reward()), **variables}

    def _seen(self) -> Picture:
        return np.ascontiguousarray(self._engine.get_state().screen_buffer)


def open_vizdoom(scenario: str, pictures_per_s: float | None) -> Game:
    """Start a scenario.

    Its first episode has the seed 0 and each further one the next, so that the same buttons at the same ticks
    lead to the same pictures.

    Args:
        scenario: the name of one that comes with ViZDoom, or the path of a .cfg file.
        pictures_per_s: as in `VizdoomGame`.

    Raises:
        MissingPackageError: ViZDoom is not installed.
        GameNotFoundError: there is no such scenario, or it cannot be played; the message lists what there is.
    """
    vizdoom = needed("vizdoom", "vizdoom", "a scenario of Doom")
    path = _path(vizdoom, scenario)
    with ExitStack() as stack:
        # The engine leaves its settings and saved games in the folder where it is started.
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="vizdoom-"))
        engine = vizdoom.DoomGame()
        stack.callback(engine.close)
        if not engine.load_config(str(path)):
            raise GameNotFoundError(
                f"{path} has lines that ViZDoom refuses: correct those that it names above"
            )
        engine.set_mode(vizdoom.Mode.PLAYER)
        engine.set_window_visible(False)
        engine.set_sound_enabled(False)
        engine.set_screen_format(vizdoom.ScreenFormat.RGB24)
        engine.set_seed(0)
        try:
            with chdir(folder), _deaf_to_the_terminal():
                engine.init()
        except Exception as error:  # ViZDoom's errors have no base of their own
            raise GameNotFoundError(f"ViZDoom cannot play {path}: {error}") from error
        game = VizdoomGame(vizdoom, engine, pictures_per_s)
        if game.pad.is_empty:
            raise GameNotFoundError(
                f"{path} lists no available_buttons that a gamepad can press: add some, such as ATTACK"
            )
        close = stack.pop_all().close
    return Game(
        f"{path.stem}, ViZDoom",
        game,
        game,
        game,
        game.pad.console.resize_mode,
        can_wait=True,
        wake=lambda: None,
        close=close,
        episodes=game,
    )


def _path(vizdoom: Any, scenario: str) -> Path:  # noqa: ANN401 - untyped
    """Return a scenario's .cfg file.

    Raises:
        GameNotFoundError: there is none, or it is for several players.
    """
    folder = Path(vizdoom.scenarios_path)
    path = Path(scenario) if scenario.endswith(".cfg") else folder / f"{scenario}.cfg"
    if scenario not in _FOR_SEVERAL and path.is_file():
        return path.resolve()
    what = f"{scenario} is for several players" if scenario in _FOR_SEVERAL else f"no scenario {scenario!r}"
    listed = ", ".join(sorted(path.stem for path in folder.glob("*.cfg") if _is_playable(path)))
    raise GameNotFoundError(f"{what}; ViZDoom has: {listed}. You can also give the path of a .cfg file")


def _is_playable(path: Path) -> bool:
    """Return whether a .cfg is for one player and its level is there, as the retail games' are not."""
    lines = (line.partition("=") for line in path.read_text(encoding="utf-8").splitlines())
    levels = [value.strip() for name, _, value in lines if name.strip() in _LEVELS]
    places = (path.parent, path.parent.parent)
    return path.stem not in _FOR_SEVERAL and all(
        any((place / level).is_file() for place in places) for level in levels
    )


@contextmanager
def _deaf_to_the_terminal() -> Iterator[None]:
    """Let what is started meanwhile ignore the terminal's Ctrl-C, which is for this program alone."""
    numbers = {signal.SIGINT, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])}
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
