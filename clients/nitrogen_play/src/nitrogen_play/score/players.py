"""Who plays the episodes: a server, a random player, and one that holds nothing."""

from typing import Protocol

import nitrogen_client
import numpy as np

from nitrogen_play.asking import in_flags
from nitrogen_play.errors import ServerError
from nitrogen_play.interfaces import Picture
from nitrogen_play.pad import BUTTONS, NEUTRAL, PadState, pad_states
from nitrogen_play.score.servers import NOTHING, RANDOM


class ScoredPlayer(Protocol):
    """Somebody who answers a frame with a chunk.

    Attributes:
        name: what the table calls it.
        ticks_per_step: for how many ticks of the game a step is held.
    """

    name: str
    ticks_per_step: int

    def begin(self) -> None:
        """Forget what was before: an episode begins."""

    def chunk(self, frame: Picture, seed: int) -> tuple[PadState, ...]:
        """Return the steps that answer a frame.

        Args:
            frame: (256, 256, 3).
            seed: of whatever is drawn for it.

        Raises:
            ServerError: there are none; the message says why.
        """


class ServerPlayer:
    """A NitroGen server, or one of its models; the game stands still while it thinks."""

    def __init__(
        self, name: str, client: nitrogen_client.ModelClient, ticks_per_step: int, *, allow_menu: bool
    ) -> None:
        self.name = name
        self.ticks_per_step = ticks_per_step
        self._client = client
        self._allow_menu = allow_menu
        self._is_first_chunk = True

    def begin(self) -> None:
        """Let the server forget the frames so far."""
        self._is_first_chunk = True
        try:
            self._client.reset()
        except nitrogen_client.NitrogenError as error:
            raise ServerError(in_flags(error)) from error

    def chunk(self, frame: Picture, seed: int) -> tuple[PadState, ...]:
        """Return the server's answer."""
        try:
            prediction = self._client.predict(frame, seed=seed)
        except nitrogen_client.NitrogenError as error:
            raise ServerError(in_flags(error)) from error
        if prediction.is_first_of_connection and not self._is_first_chunk:
            raise ServerError("the connection ended within the episode, and the server forgot its frames")
        self._is_first_chunk = False
        return pad_states(prediction, allow_menu=self._allow_menu)


class RandomPlayer:
    """Holds each button with probability 1/2 in each step, and the sticks anywhere."""

    name = RANDOM

    def __init__(self, horizon: int, ticks_per_step: int, *, allow_menu: bool) -> None:
        self.ticks_per_step = ticks_per_step
        self._horizon = horizon
        self._allow_menu = allow_menu

    def begin(self) -> None:
        """Remember nothing."""

    def chunk(self, frame: Picture, seed: int) -> tuple[PadState, ...]:
        """Return steps that the seed alone decides."""
        draw = np.random.default_rng(seed)
        chunk = {
            "buttons": draw.integers(2, size=(self._horizon, len(BUTTONS))).astype(np.float32),
            "j_left": draw.uniform(-1, 1, (self._horizon, 2)).astype(np.float32),
            "j_right": draw.uniform(-1, 1, (self._horizon, 2)).astype(np.float32),
        }
        return pad_states(chunk, allow_menu=self._allow_menu)


class IdlePlayer:
    """Holds nothing."""

    name = NOTHING

    def __init__(self, horizon: int, ticks_per_step: int) -> None:
        self.ticks_per_step = ticks_per_step
        self._steps = (NEUTRAL,) * horizon

    def begin(self) -> None:
        """Remember nothing."""

    def chunk(self, frame: Picture, seed: int) -> tuple[PadState, ...]:
        """Return steps that hold nothing."""
        return self._steps
