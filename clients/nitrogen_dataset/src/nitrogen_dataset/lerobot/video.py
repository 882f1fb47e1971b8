"""A data set's pictures as an MP4 file of a constant rate: its k-th picture is at k / fps seconds."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from nitrogen_dataset.frames import Picture

_ENCODER = "libx264"
FORMAT = "h264"
# A reader has to decode from the key picture before the one it wants.
_PICTURES_PER_KEY = 8
_PIXEL_FORMAT, _CRF = "yuv420p", "18"
_LOSSLESS_ENCODER, _LOSSLESS_PIXEL_FORMAT, _LOSSLESS_CRF = "libx264rgb", "rgb24", "0"


def pixel_format(*, is_lossless: bool) -> str:
    """Return how pixels stand in the file, in FFmpeg's words."""
    return "gbrp" if is_lossless else _PIXEL_FORMAT


class VideoFile:
    """Writes one file; `count` is how many pictures are in it, `size` about how many bytes.

    Args:
        is_lossless: whether each pixel is to come back as it was.
    """

    def __init__(self, path: Path, fps: int, height: int, width: int, *, is_lossless: bool) -> None:
        self.count = self.size = 0
        self._container = av.open(str(path), "w", format="mp4")
        encoder = _LOSSLESS_ENCODER if is_lossless else _ENCODER
        # Without B-pictures each is decoded in its turn.
        options = {"crf": _LOSSLESS_CRF if is_lossless else _CRF, "preset": "veryfast", "bf": "0"}
        stream: Any = self._container.add_stream(encoder, rate=Fraction(fps), options=options)
        stream.width, stream.height = width, height
        stream.pix_fmt = _LOSSLESS_PIXEL_FORMAT if is_lossless else _PIXEL_FORMAT
        stream.codec_context.gop_size = _PICTURES_PER_KEY
        self._stream = stream
        self._time_base = Fraction(1, fps)

    def add(self, picture: Picture, *, is_key: bool) -> None:
        """Add a picture; one that `is_key` can be decoded without those before it.

        Raises:
            av.FFmpegError: it cannot be written.
        """
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        frame.pts = self.count
        frame.time_base = self._time_base
        if is_key:
            frame.pict_type = av.video.frame.PictureType.I
        packets = self._stream.encode(frame)
        self._container.mux(packets)
        self.count += 1
        self.size += sum(packet.size for packet in packets)

    def close(self) -> None:
        """Write what waits.

        Raises:
            av.FFmpegError: it cannot be written.
        """
        self._container.mux(self._stream.encode(None))
        self._container.close()
