"""The options of a request beside its image: the client's defaults, and those of a single call."""

from __future__ import annotations

import enum
import numbers
import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Union

from nitrogen_client.errors import ArgumentError


class Unset(enum.Enum):
    """The type of `UNSET`: an argument that was not given, as against one given as None."""

    UNSET = "unset"

    def __repr__(self) -> str:
        return "UNSET"


UNSET = Unset.UNSET

Game = Union[str, int, None]
GivenGame = Union[str, int, Unset, None]
GivenSeed = Union[int, Unset, None]
GivenModel = Union[str, Unset, None]
Noise = Union[str, Mapping[str, float]]
GivenNoise = Union[str, Mapping[str, float], Unset]

# The waiting is done in milliseconds, of which the system takes less than 2**31.
_MAX_TIMEOUT_S = 2_000_000


@dataclass(frozen=True)
class Options:
    """The options of a request.

    Attributes:
        seed: of the noise, 0 or more; None for fresh noise.
        game: a name, an id, None (unconditional) or `UNSET` (the server's default).
        model: one of the server's models, None for its default.
        timing: whether the reply tells the server's times.
        noise: "fresh", {"memory": 0 to 1} or {"tick": 0 or more}; a seed goes with the first alone.
    """

    seed: int | None = None
    game: GivenGame = UNSET
    model: str | None = None
    timing: bool = False
    noise: Noise = "fresh"

    def __post_init__(self) -> None:
        """Check what the server would refuse anyway.

        Raises:
            ArgumentError: a value is invalid.
        """
        if self.seed is not None and (not is_integer(self.seed) or self.seed < 0):
            raise ArgumentError(f"seed must be an integer of 0 or more, or None; it is {self.seed!r}")
        if not (self.game is None or isinstance(self.game, (str, Unset)) or is_integer(self.game)):
            raise ArgumentError(f"game must be a name, an id or None; it is {self.game!r}")
        if self.model is not None and not isinstance(self.model, str):
            raise ArgumentError(f"model must be a model's name or None; it is {self.model!r}")
        if not isinstance(self.timing, bool):
            raise ArgumentError(f"timing must be True or False; it is {self.timing!r}")
        if not _is_noise(self.noise):
            raise ArgumentError(
                'noise must be "fresh", {"memory": 0 to 1} or {"tick": 0 or more}; '
                f"it is {self.noise!r:.100}"
            )
        if self.seed is not None and self.noise != "fresh":
            raise ArgumentError(
                f"seed {self.seed} already fixes the noise: give no other noise, or seed=None"
            )

    def replaced(
        self,
        seed: GivenSeed = UNSET,
        game: GivenGame = UNSET,
        model: GivenModel = UNSET,
        timing: bool | Unset = UNSET,
        noise: GivenNoise = UNSET,
    ) -> Options:
        """Return these options but for those that are given.

        Raises:
            ArgumentError: a value is invalid.
        """
        return Options(
            self.seed if seed is UNSET else seed,
            self.game if game is UNSET else game,
            self.model if model is UNSET else model,
            self.timing if timing is UNSET else timing,
            self.noise if noise is UNSET else noise,
        )

    def fields(self) -> dict[str, object]:
        """Return the request's fields; what has its default is left out."""
        fields: dict[str, object] = {}
        if self.seed is not None:
            fields["seed"] = int(self.seed)
        if not isinstance(self.game, Unset):
            fields["game"] = self.game if self.game is None or isinstance(self.game, str) else int(self.game)
        if self.model is not None:
            fields["model"] = self.model
        if self.timing:
            fields["timing"] = True
        if isinstance(self.noise, Mapping):
            # numpy's numbers as Python's.
            ((name, value),) = self.noise.items()
            fields["noise"] = {name: int(value) if name == "tick" else float(value)}
        return fields


def _is_noise(noise: object) -> bool:
    if not isinstance(noise, Mapping):
        return isinstance(noise, str) and noise == "fresh"
    if len(noise) != 1 or not {"memory", "tick"} & noise.keys():
        return False
    ((name, value),) = noise.items()
    if name == "tick":
        return is_integer(value) and bool(value >= 0)
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and 0 <= float(value) <= 1


def checked_timeout(timeout_s: float) -> float:
    """Return a timeout in seconds.

    Raises:
        ArgumentError: it is not a number above 0, or longer than 2,000,000 s.
    """
    is_number = isinstance(timeout_s, numbers.Real) and not isinstance(timeout_s, bool)
    if not is_number or not 0 < timeout_s <= _MAX_TIMEOUT_S:
        raise ArgumentError(
            f"timeout_s must be seconds above 0, and {_MAX_TIMEOUT_S} at most; it is {timeout_s!r}"
        )
    return float(timeout_s)


def is_integer(value: object) -> bool:
    """Return whether a value is an integer, Python's or numpy's, and no bool."""
    try:
        operator.index(value)  # type: ignore[arg-type] # whether it is one is the question
    except TypeError:
        return False
    return not isinstance(value, bool)  # which is never meant here
