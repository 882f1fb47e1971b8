"""The parts of every kind of game: a screen, a gamepad, a clock, and episodes where it has them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from nitrogen_play.keyboard import HeldKeys
from nitrogen_play.pad import PadState

# (H, W, 3) RGB; a frame, in contrast, is the 256x256 one that the model sees.
Picture = NDArray[np.uint8]


class Screen(Protocol):
    """The picture of a game."""

    def capture(self) -> Picture:
        """Return the present picture; nobody changes it afterwards.

        Raises:
            GameLostError: the game's window is gone.
        """


class Gamepad(Protocol):
    """A virtual gamepad, on which one state holds until the next."""

    def apply(self, state: PadState) -> None:
        """Hold exactly these buttons and sticks."""

    def release(self) -> None:
        """Hold nothing."""


class Clock(Protocol):
    """The game's time, counted in ticks: pictures of an emulator, 1/60 s of other games."""

    @property
    def ticks_per_s(self) -> float:
        """Ticks in a second of the game's time."""

    @property
    def stands_still(self) -> bool:
        """Whether the game's time only goes on in `tick`."""

    def now(self) -> int:
        """Return the number of the present tick; 0 is the first."""

    def tick(self) -> bool:
        """Let the game go on to the next tick, and return when it is there: True if it began again."""

    def is_late(self) -> bool:
        """Return whether the present tick should be over already."""


class Episodes(Protocol):
    """A game that can be begun again and that keeps a score. An episode is over when `Clock.tick` says so."""

    def begin(self, seed: int) -> None:
        """Begin an episode; after it, the same buttons lead to the same pictures as with this seed before."""

    def values(self) -> dict[str, float]:
        """Return the episode's "reward" so far, and the game's own variables.

        Once the episode is over and until the next `begin`: those that it ended with.
        """


class Human(Protocol):
    """Somebody who may take the pad over from the model.

    Attributes:
        gives_back: how, as the end of a sentence.
    """

    gives_back: str

    def holds(self) -> PadState | None:
        """Return what the human holds now; None while the model plays."""


@dataclass(frozen=True)
class Game:
    """A game that can be played.

    Attributes:
        title: what people call it.
        resize_mode: how its pictures are made square: "stretch", "pad" or "crop".
        can_wait: whether the game stands still while the model thinks, when it is played in turns.
        wake: makes the game notice its gamepad; called once, before the first step.
        close: gives back what the game's parts hold, and lets the game itself go on.
        episodes: None for a game that keeps no score for us.
        held_keys: returns the names of the keys that are held while the game's window has the keyboard; None
            where there is nothing to ask.
    """

    title: str
    screen: Screen
    gamepad: Gamepad
    clock: Clock
    resize_mode: str
    can_wait: bool
    wake: Callable[[], None]
    close: Callable[[], None]
    episodes: Episodes | None = None
    held_keys: HeldKeys | None = None
