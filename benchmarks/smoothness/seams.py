"""A player that asks again and again, and how far each chunk is from the one before."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from nitrogen_client import ModelClient, Prediction
from numpy.typing import NDArray

SEAMS_OF_A_CHAIN = 4


@dataclass(frozen=True)
class Way:
    """One of the ways in which chunks may follow one another.

    Attributes:
        noise: "fresh", "tick", or the share of a memory.
        is_conditioned: whether each chunk has to fit the rows of the one before.
    """

    name: str
    noise: str | float = "fresh"
    is_conditioned: bool = False

    def noise_at(self, tick: int) -> str | dict[str, float]:
        """Return the noise of a request for a tick's picture."""
        if self.noise == "tick":
            return {"tick": tick}
        return self.noise if isinstance(self.noise, str) else {"memory": self.noise}


WAYS = (
    Way("fresh noise"),
    Way("memory 0.9", 0.9),
    Way("memory 1", 1.0),
    Way("noise by tick", "tick"),
    Way("conditioned", is_conditioned=True),
    Way("conditioned, memory 1", 1.0, is_conditioned=True),
    Way("conditioned, noise by tick", "tick", is_conditioned=True),
)


@dataclass(frozen=True)
class Difference:
    """A mean difference of two rows of actions: buttons of 21, and a stick's axis, whose range is 2."""

    buttons: float
    sticks: float

    def __str__(self) -> str:
        return f"{self.buttons:.1f} / {self.sticks:.2f}"


@dataclass(frozen=True)
class Seams:
    """Mean differences between the rows of a chunk and those of the next one for the same ticks.

    Attributes:
        overlap: over all rows that both have.
        first: of the first row that is pressed of the next chunk.
    """

    overlap: Difference
    first: Difference


def chains(
    client: ModelClient, pictures: Sequence[NDArray[np.uint8]], way: Way, every: int
) -> list[list[Prediction]]:
    """Return the chunks of a player who asks every few ticks, and gets each chunk as many ticks later.

    After some chunks it begins again, so that noise with a memory is more than one draw.
    """
    got: list[list[Prediction]] = []
    for tick in range(0, len(pictures), every):
        if not got or len(got[-1]) > SEAMS_OF_A_CHAIN:
            client.reset()
            got.append([])
        last = got[-1][-1] if got[-1] else None
        rows: dict[str, Any] = {}
        if way.is_conditioned and last is not None:
            rows = {"previous": {name: part[every:] for name, part in last.items()}, "delay": every}
        got[-1].append(client.predict(pictures[tick], noise=way.noise_at(tick), **rows))
    return got


def seams(got: Sequence[Sequence[Prediction]], every: int) -> Seams:
    """Return how far the chunks of chains are from one another."""
    pairs = [
        ({name: part[every:] for name, part in old.items()}, new)
        for chain in got
        for old, new in pairwise(chain)
    ]
    horizon = len(pairs[0][1]["buttons"])
    return Seams(
        _difference(pairs, slice(0, horizon - every)),
        # The rows before it are pressed while the chunk is on its way.
        _difference(pairs, slice(every, every + 1)),
    )


def steps(got: Sequence[Sequence[Prediction]]) -> Difference:
    """Return how far neighbouring rows of one chunk are from one another."""
    pairs = [({name: part[1:] for name, part in chunk.items()}, chunk) for chain in got for chunk in chain]
    return _difference(pairs, slice(0, len(pairs[0][1]["buttons"]) - 1))


def _difference(
    pairs: Sequence[tuple[dict[str, NDArray[np.float32]], Prediction]], rows: slice
) -> Difference:
    buttons = [np.sum(old["buttons"][rows] != new["buttons"][rows], axis=1).mean() for old, new in pairs]
    parts = [(old[name][rows], new[name][rows]) for old, new in pairs for name in ("j_left", "j_right")]
    sticks = [np.abs(before - after).mean() for before, after in parts]
    return Difference(float(np.mean(buttons)), float(np.mean(sticks)))
