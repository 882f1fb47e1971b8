"""Emulators, by stable-retro: the game is a library in this process, and stands still between pictures."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from nitrogen_play.clocks import Pacer
from nitrogen_play.consoles import Console, retro_console, retro_systems
from nitrogen_play.errors import GameNotFoundError
from nitrogen_play.interfaces import Game, Picture
from nitrogen_play.packages import needed
from nitrogen_play.pad import NEUTRAL, PadState

_MAX_NAMES = 30
# An emulator has no seed. Episodes differ by when the player takes over.
_MAX_IDLE_TICKS = 30


class RetroGame:
    """An emulator's screen, gamepad, clock and episodes in one, because stable-retro's step is all four.

    Args:
        pictures_per_s: how fast it goes on by itself, 0 for the console's own speed; None to stand still
            between ticks, which then take no longer than they must.
    """

    def __init__(self, environment: Any, console: Console, pictures_per_s: float | None) -> None:  # noqa: ANN401 - untyped
        self._environment = environment
        self._console = console
        self._buttons: Sequence[str | None] = environment.buttons
        self.ticks_per_s = float(environment.em.get_screen_rate())
        self.stands_still = pictures_per_s is None
        self._pacer = None if pictures_per_s is None else Pacer(pictures_per_s or self.ticks_per_s)
        self._tick = 0
        self._state = NEUTRAL
        self._reward = 0.0
        self._variables: dict[str, Any] = {}
        self._last_values: dict[str, float] | None = None
        self._picture, _ = environment.reset()

    def capture(self) -> Picture:
        """Return the present picture."""
        return np.ascontiguousarray(self._picture)

    def apply(self, state: PadState) -> None:
        """Hold exactly these buttons and sticks from the next tick on."""
        self._state = state

    def release(self) -> None:
        """Hold nothing."""
        self._state = NEUTRAL

    def now(self) -> int:
        """Return how many pictures the emulator has made."""
        return self._tick

    def tick(self) -> bool:
        """Make the next picture; True if the game was over and began again."""
        if self._pacer is not None:
            self._pacer.wait()
        pressed = self._console.pressed(self._state)
        mask = np.array([name in pressed for name in self._buttons], np.int8)
        self._picture, reward, is_over, is_cut_short, self._variables = self._environment.step(mask)
        self._reward += float(reward)
        self._tick += 1
        if is_over or is_cut_short:
            self._last_values = self._present_values()
            self._picture, _ = self._environment.reset()
            return True
        return False

    def is_late(self) -> bool:
        """Return whether the next picture is due already."""
        return self._pacer is not None and self._pacer.is_late()

    def begin(self, seed: int) -> None:
        """Begin the game at its saved state, after 0 to 30 ticks with nothing held, drawn by the seed."""
        self._picture, _ = self._environment.reset()
        self.release()
        for _ in range(int(np.random.default_rng(seed).integers(_MAX_IDLE_TICKS + 1))):
            self.tick()
        self._reward, self._last_values = 0.0, None

    def values(self) -> dict[str, float]:
        """Return the reward so far and the game's variables; after the end, those it ended with."""
        return self._present_values() if self._last_values is None else self._last_values

    def _present_values(self) -> dict[str, float]:
        """Return the reward so far and the variables that stable-retro reads out of the game's memory."""
        return {**{name: float(value) for name, value in self._variables.items()}, "reward": self._reward}

    def close(self) -> None:
        """End the emulator."""
        self._environment.close()


def open_retro(name: str, state: str | None, pictures_per_s: float | None) -> Game:
    """Start an emulator.

    Args:
        name: stable-retro's name of the game.
        state: one of the saved states to begin with, None for the game's own first.
        pictures_per_s: as in `RetroGame`.

    Raises:
        MissingPackageError: stable-retro is not installed.
        GameNotFoundError: no such game, state, or no ROM of it; the message lists what there is.
    """
    retro = needed("stable_retro", "retro", "an emulator", package="stable-retro")
    everything = retro.data.Integrations.ALL
    chosen = {} if state is None else {"state": state}
    if state is not None and state not in (states := retro.data.list_states(name, everything)) and states:
        raise GameNotFoundError(f"{name} has no saved state {state!r}; it has: {', '.join(states)}")
    try:
        environment = retro.make(
            name,
            inttype=everything,
            render_mode=None,
            # Its own choice drops START, MODE and whatever its authors' agents did not press together.
            use_restricted_actions=retro.Actions.ALL,
            **chosen,
        )
    except FileNotFoundError as error:
        raise GameNotFoundError(_not_found(retro, name)) from error
    console = retro_console(environment.system)
    if console is None:
        environment.close()
        raise GameNotFoundError(
            f"{name} is a game for {environment.system!r}, for which there is no table of buttons; there is "
            f"one for {', '.join(retro_systems())}"
        )
    game = RetroGame(environment, console, pictures_per_s)
    return Game(
        f"{name}, {console.title}",
        game,
        game,
        game,
        console.resize_mode,
        can_wait=True,
        wake=lambda: None,
        close=game.close,
        episodes=game,
    )


def _not_found(retro: Any, name: str) -> str:  # noqa: ANN401 - untyped
    everything = retro.data.Integrations.ALL
    games = [game for game in retro.data.list_games(everything) if _has_rom(retro, game)]
    listed = ", ".join(sorted(games)[:_MAX_NAMES]) or "none"
    if len(games) > _MAX_NAMES:
        listed += f" and {len(games) - _MAX_NAMES} more"
    if name in retro.data.list_games(everything):
        return (
            f"stable-retro knows {name}, but has no ROM of it: import yours with "
            f"`python -m stable_retro.import FOLDER`; games with a ROM: {listed}"
        )
    return f"stable-retro knows no game {name!r}; games with a ROM: {listed}"


def _has_rom(retro: Any, game: str) -> bool:  # noqa: ANN401 - untyped
    try:
        retro.data.get_romfile_path(game, retro.data.Integrations.ALL)
    except FileNotFoundError:
        return False
    return True
