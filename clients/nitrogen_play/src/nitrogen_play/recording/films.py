"""Films of a game, by PyAV: its pictures as they are, and its pictures with the gamepad beside them."""

import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

from nitrogen_play.errors import RecordingError
from nitrogen_play.interfaces import Picture
from nitrogen_play.pad import PadState
from nitrogen_play.recording.pad_picture import HEIGHT, pad_picture

_MAX_WIDTH = 1920
_TIME_BASE = Fraction(1, 90_000)
# Written in pieces, so that a film that was cut short by a crash can be seen to its last piece.
_CONTAINER_OPTIONS = {"movflags": "frag_keyframe+empty_moov+default_base_moof", "flush_packets": "1"}
_ENCODER_OPTIONS = {"crf": "23", "preset": "veryfast"}
_PIECE_S = 2
_ENCODER = "libx264"
# A film's comment: its times begin at some time of the encoder's, not at the tick's.
COMMENT = re.compile(
    r"(?P<ticks_per_s>[0-9.e+-]+) ticks per second, the first picture at tick (?P<tick>[0-9]+)"
)


class Film:
    """One MP4 file. Its size is that of the first picture, to which later ones are fitted.

    Args:
        ticks_per_s: pictures come with the number of their tick, so that missing ones do not shift the
            others.
        title: the game's, which is the file's title as well; its comment is a `COMMENT`.
    """

    def __init__(self, path: Path, ticks_per_s: float, title: str = "") -> None:
        self._path = path
        self._title = title
        self._ticks_per_s = ticks_per_s
        self._container: Any = None
        self._stream: Any = None
        self._size = (0, 0)
        self._next_tick = 0

    def add(self, picture: Picture, tick: int) -> None:
        """Add a picture, (H, W, 3) RGB; one whose tick is not after the last one's is left out.

        Raises:
            RecordingError: it cannot be written.
        """
        import av  # noqa: PLC0415 - an extra

        if tick < self._next_tick:
            return
        self._next_tick = tick + 1
        try:
            if self._container is None:
                self._open(picture, tick)
            image = av.VideoFrame.from_ndarray(_fitted(picture, self._size), format="rgb24")
            image.pts = round(tick / self._ticks_per_s / _TIME_BASE)
            image.time_base = _TIME_BASE
            self._container.mux(self._stream.encode(image))
        except (av.FFmpegError, OSError, ValueError) as error:  # the last where the encoder is not there
            raise RecordingError(f"the film {self._path} cannot be written: {error}") from error

    def close(self) -> None:
        """Write what is left; a second time does nothing.

        Raises:
            RecordingError: it cannot be written.
        """
        container, stream = self._container, self._stream
        self._container = self._stream = None
        if container is None:
            return
        import av  # noqa: PLC0415 - an extra

        try:
            with container:
                if stream is not None:
                    container.mux(stream.encode())
        except (av.FFmpegError, OSError) as error:
            raise RecordingError(f"the film {self._path} cannot be written: {error}") from error

    def _open(self, picture: Picture, tick: int) -> None:
        import av  # noqa: PLC0415 - an extra

        height, width = picture.shape[:2]
        shrink = min(1.0, _MAX_WIDTH / width)
        # The encoder wants even sides.
        self._size = (max(2, round(width * shrink) // 2 * 2), max(2, round(height * shrink) // 2 * 2))
        self._container = av.open(str(self._path), "w", format="mp4", options=_CONTAINER_OPTIONS)
        self._container.metadata["title"] = self._title
        self._container.metadata["comment"] = (
            f"{self._ticks_per_s!r} ticks per second, the first picture at tick {tick}"
        )
        rate = Fraction(self._ticks_per_s).limit_denominator(1001)
        stream: Any = self._container.add_stream(_ENCODER, rate=rate, options=_ENCODER_OPTIONS)
        stream.width, stream.height = self._size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = _TIME_BASE
        stream.codec_context.gop_size = round(_PIECE_S * self._ticks_per_s)
        self._stream = stream


def debug_picture(picture: Picture, state: PadState, caption: str) -> Picture:
    """Return a game's picture, 480 pixels high, with the pad drawn beside it."""
    height, width = picture.shape[:2]
    shown = _fitted(picture, (max(1, round(width * HEIGHT / height)), HEIGHT))
    return np.concatenate([shown, pad_picture(state, caption)], axis=1)


def _fitted(picture: Picture, size: tuple[int, int]) -> Picture:
    height, width = picture.shape[:2]
    if (width, height) == size:
        return picture
    # Few pixels stay square and sharp; many are averaged.
    how = PIL.Image.Resampling.NEAREST if width < size[0] else PIL.Image.Resampling.BOX
    return np.asarray(PIL.Image.fromarray(picture).resize(size, how))
