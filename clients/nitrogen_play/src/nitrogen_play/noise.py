"""The flag `--noise`: the noise that the model's chunks begin from."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class FreshNoise:
    """Each chunk has noise of its own."""

    def field(self, row: int) -> None:
        """Return nothing: a server uses fresh noise by itself."""


@dataclass(frozen=True)
class MemoryNoise:
    """Each chunk's noise keeps a share of the last one's.

    Attributes:
        share: 0 to 1; 1 keeps all of it.
    """

    share: float

    def field(self, row: int) -> dict[str, Any]:
        """Return the request's `noise`."""
        return {"memory": self.share}


@dataclass(frozen=True)
class TickNoise:
    """Each of the game's ticks has its own noise, the same in every chunk."""

    def field(self, row: int) -> dict[str, Any]:
        """Return the request's `noise` for a picture whose tick belongs to a row."""
        return {"tick": row}


Noise = FreshNoise | MemoryNoise | TickNoise
FRESH = FreshNoise()


def read_noise(text: str) -> Noise:
    """Return what a flag's text means.

    Raises:
        ValueError: it is none of the three.
    """
    if text == "fresh":
        return FRESH
    if text == "tick":
        return TickNoise()
    kind, _, share = text.partition(":")
    if kind == "memory" and 0 <= float(share) <= 1:
        return MemoryNoise(float(share))
    raise ValueError(text)
