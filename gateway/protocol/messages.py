"""The messages of all ports, apart from their bytes: one request type, one reply type.

The formats (`formats`, `tcp`, `web`) turn bytes into a `Request` and a `Reply` into bytes; the data plane
only knows these two.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gateway.errors import RequestError

# Exactly FRAME_BYTES bytes: (256, 256, 3) uint8, row-major RGB. Nobody changes them once they were passed on.
Frame = bytes | bytearray | memoryview

RequestType = Literal["predict", "reset", "info", "played"]
Hand = Literal["model", "human"]
ResizeMode = Literal["pad", "crop", "stretch"]
RESIZE_MODES = frozenset({"pad", "crop", "stretch"})


class Unset:
    """The type of `UNSET`: a field that the client did not send, unlike one sent as null."""


UNSET = Unset()


@dataclass(frozen=True, slots=True)
class Pixels:
    """Pixels, stretched to a frame by PIL's antialiased BILINEAR when not 256x256.

    Attributes:
        rgb: (H, W, 3) uint8, RGB.
    """

    rgb: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class RawFrame:
    """A frame as it is: exactly `FRAME_BYTES` bytes of row-major RGB."""

    data: Frame


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image file (PNG, JPEG, BMP or WebP), or a raw frame if it does not decode as one.

    Attributes:
        may_be_raw: whether bytes that do not decode, but are `FRAME_BYTES` long, are a raw RGB frame.
    """

    data: bytes | bytearray
    resize_mode: ResizeMode = "pad"
    may_be_raw: bool = True


Image = Pixels | RawFrame | ImageFile


@dataclass(frozen=True, slots=True)
class PlayedRow:
    """The pad during one tick: who held it, 21 buttons of 0 or 1, and the sticks' x and y in [-1, 1]."""

    by: Hand
    buttons: tuple[int, ...]
    j_left: tuple[float, float]
    j_right: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Played:
    """The rows that were really pressed, one for each of the game's ticks from `tick` on."""

    tick: int
    rows: tuple[PlayedRow, ...]


@dataclass(frozen=True, slots=True)
class FreshNoise:
    """Noise that is drawn for one request only."""


@dataclass(frozen=True, slots=True)
class MemoryNoise:
    """The client's noise, which keeps the share `memory`, in [0, 1], of itself from predict to predict."""

    memory: float


@dataclass(frozen=True, slots=True)
class TickNoise:
    """Noise whose rows belong to ticks: row j belongs to the tick `tick` + j, the same in every chunk."""

    tick: int


Noise = FreshNoise | MemoryNoise | TickNoise
FRESH = FreshNoise()


@dataclass(frozen=True, slots=True, eq=False)
class Previous:
    """Rows that are still to be pressed, which a chunk should fit; the first belongs to its picture's tick.

    Attributes:
        buttons: (n, 21) float32 in [0, 1], n >= 1.
        j_left: (n, 2) float32 in [-1, 1].
        j_right: (n, 2) float32 in [-1, 1].
        delay: how many of the rows, at most n, will have been pressed when the chunk arrives.
    """

    buttons: NDArray[np.float32]
    j_left: NDArray[np.float32]
    j_right: NDArray[np.float32]
    delay: int


@dataclass(frozen=True, slots=True)
class Request:
    """One request of one client.

    `image` is set exactly when `type` is "predict", `played` when it is "played".

    Attributes:
        seed: any int >= 0, or None for fresh noise.
        game: a name, an id, None (unconditional) or `UNSET` (the gateway's default game).
        timing: whether the reply has a `Timing`.
        model: the name of a model in Triton, or None for the gateway's default model.
        prompt: a text that chooses the game if it is a game's name and `game` is not set.
        noise: what a predict's chunk begins from; `FRESH` with a seed.
        tick: the picture's tick in the game, if the client counts them.
        previous: the rows that a predict's chunk should fit, if any.
    """

    type: RequestType
    image: Image | None = None
    seed: int | None = None
    game: str | int | Unset | None = UNSET
    timing: bool = False
    model: str | None = None
    played: Played | None = None
    prompt: str | None = None
    noise: Noise = FRESH
    tick: int | None = None
    previous: Previous | None = None


@dataclass(frozen=True, slots=True)
class Hello:
    """A TCP client's greeting, with the token that lets it in. Its text does not show the token."""

    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ActionChunk:
    """One chunk of gamepad actions for T steps; all values are finite.

    Attributes:
        j_left: (T, 2) float32 in [-1, 1].
        j_right: (T, 2) float32 in [-1, 1].
        buttons: (T, 21) float32, 0.0 or 1.0.
    """

    j_left: NDArray[np.float32]
    j_right: NDArray[np.float32]
    buttons: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Timing:
    """Where the gateway's time went, in milliseconds, from the request's last byte on."""

    decode_ms: float
    infer_ms: float
    total_ms: float


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply: an error message, or ok with a chunk (predict), facts (info) or nothing (reset, played).

    Attributes:
        cause: an error's word for programs; the message is for people.
    """

    error: str | None = None
    cause: str | None = None
    chunk: ActionChunk | None = None
    info: Mapping[str, Any] | None = None
    timing: Timing | None = None


# The events of a TCP stream; a `Reply` answers a command that the stream carried out itself.
Event = Request | RequestError | Hello | Reply
