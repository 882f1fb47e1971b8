"""A recording as a film: each predict's frame, and beside it the pad of each step in turn."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageDraw
from numpy.typing import NDArray

from contract.gamepad import BUTTONS
from gateway.commands.pad_picture import BACKGROUND, PAD_SIZE, draw_pad, font
from gateway.safe_text import one_line, shortened
from gateway.telemetry.recording_format import RecordedPredict

_FRAME_SIDE = 512
_MARGIN = 16
_CAPTION_HEIGHT = 48
FILM_SIZE = (
    _MARGIN + _FRAME_SIDE + _MARGIN + PAD_SIZE[0],
    _MARGIN + _FRAME_SIDE + _CAPTION_HEIGHT,
)
# The place of the recorded frame in a picture of the film: left, top, right, bottom.
FRAME_BOX = (_MARGIN, _MARGIN, _MARGIN + _FRAME_SIDE, _MARGIN + _FRAME_SIDE)
PAD_ORIGIN = (2 * _MARGIN + _FRAME_SIDE, _MARGIN)
# A predict without actions is shown for this many pictures, long enough to be seen.
ERROR_PICTURES = 15
_TEXT = (196, 201, 214)
_WARNING = (255, 99, 88)
_MAX_CHARACTERS = 90


def pictures(predict: RecordedPredict) -> Iterator[PIL.Image.Image]:
    """Yield a predict's pictures, `FILM_SIZE` RGB: one for each step, or some that show its error."""
    background = _background(predict)
    chunk = predict.chunk
    if chunk is None:
        picture = background.copy()
        picture.paste(draw_pad((0, 0), (0, 0), [0] * len(BUTTONS)), PAD_ORIGIN)
        _caption(picture, f"error: {predict.error}", _WARNING)
        for _ in range(ERROR_PICTURES):
            yield picture
        return
    title = f"{predict.began:%Y-%m-%d %H:%M:%S}   {predict.client}"
    steps = len(chunk.buttons)
    for step in range(steps):
        picture = background.copy()
        pad = draw_pad(
            chunk.j_left[step].tolist(), chunk.j_right[step].tolist(), chunk.buttons[step].tolist()
        )
        picture.paste(pad, PAD_ORIGIN)
        _caption(picture, f"{title}   step {step + 1} of {steps}", _TEXT)
        yield picture


def write_film(output: Path, all_pictures: Iterable[PIL.Image.Image], fps: int) -> int:
    """Write an MP4 file of `fps` pictures a second; return how many there were.

    Raises:
        ImportError: PyAV is not installed.
        OSError: the file cannot be written.
    """
    import av  # noqa: PLC0415 - an extra: the command reports it if it is missing

    count = 0
    try:
        with av.open(str(output), "w", format="mp4") as container:
            stream = container.add_stream("libx264", rate=Fraction(fps))
            stream.width, stream.height = FILM_SIZE
            stream.pix_fmt = "yuv420p"
            stream.options = {"crf": "20", "preset": "veryfast"}
            for picture in all_pictures:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(picture), format="rgb24")))
                count += 1
            container.mux(stream.encode())
    except av.FFmpegError as error:
        raise OSError(str(error)) from error
    return count


def _background(predict: RecordedPredict) -> PIL.Image.Image:
    picture = PIL.Image.new("RGB", FILM_SIZE, BACKGROUND)
    if predict.frame is not None:
        enlarged: NDArray[np.uint8] = predict.frame.repeat(2, axis=0).repeat(2, axis=1)
        picture.paste(PIL.Image.fromarray(enlarged), FRAME_BOX[:2])
    else:
        draw = PIL.ImageDraw.Draw(picture)
        draw.rectangle(FRAME_BOX, outline=_WARNING)
        centre = ((FRAME_BOX[0] + FRAME_BOX[2]) / 2, (FRAME_BOX[1] + FRAME_BOX[3]) / 2)
        draw.text(centre, "no usable image", _WARNING, font(20), anchor="mm")
    return picture


def _caption(picture: PIL.Image.Image, text: str, colour: tuple[int, int, int]) -> None:
    shown = shortened(one_line(text), _MAX_CHARACTERS)
    place = (_MARGIN, FILM_SIZE[1] - _CAPTION_HEIGHT / 2)
    PIL.ImageDraw.Draw(picture).text(place, shown, colour, font(18), anchor="lm")
