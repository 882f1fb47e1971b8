"""A gamepad's state as a picture: 21 labelled buttons and two sticks."""

from collections.abc import Sequence
from functools import cache

import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

from contract.gamepad import BUTTONS

PAD_SIZE = (640, 512)
BACKGROUND = (18, 20, 26)
RELEASED = (46, 50, 61)
PRESSED = (255, 176, 46)
_BODY = (29, 32, 40)
_EDGE = (74, 80, 96)
_TEXT = (196, 201, 214)
_TEXT_PRESSED = (20, 20, 20)
STICK = (94, 196, 255)

_Box = tuple[int, int, int, int]
_STICK_RADIUS = 64
_KNOB_RADIUS = 24


def _square(x: int, y: int, half: int = 24) -> _Box:
    return (x - half, y - half, x + half, y + half)


# Where each button is drawn: its box, the text on it, and whether it is round.
PLACES: dict[str, tuple[_Box, str, bool]] = {
    "LEFT_TRIGGER": ((60, 20, 204, 56), "LEFT TRIGGER", False),
    "LEFT_SHOULDER": ((60, 66, 204, 102), "LEFT SHOULDER", False),
    "RIGHT_TRIGGER": ((436, 20, 580, 56), "RIGHT TRIGGER", False),
    "RIGHT_SHOULDER": ((436, 66, 580, 102), "RIGHT SHOULDER", False),
    "DPAD_UP": (_square(132, 154), "UP", False),
    "DPAD_DOWN": (_square(132, 250), "DOWN", False),
    "DPAD_LEFT": (_square(84, 202), "LEFT", False),
    "DPAD_RIGHT": (_square(180, 202), "RIGHT", False),
    "NORTH": (_square(508, 150, 26), "NORTH", True),
    "SOUTH": (_square(508, 254, 26), "SOUTH", True),
    "WEST": (_square(456, 202, 26), "WEST", True),
    "EAST": (_square(560, 202, 26), "EAST", True),
    "BACK": ((234, 184, 298, 218), "BACK", False),
    "START": ((342, 184, 406, 218), "START", False),
    "GUIDE": (_square(320, 136, 28), "GUIDE", True),
    "LEFT_THUMB": ((146, 474, 222, 498), "THUMB", False),
    "RIGHT_THUMB": ((394, 474, 470, 498), "THUMB", False),
    "RIGHT_UP": ((402, 262, 462, 284), "UP", False),
    "RIGHT_BOTTOM": ((402, 424, 462, 446), "DOWN", False),
    "RIGHT_LEFT": ((298, 343, 358, 365), "LEFT", False),
    "RIGHT_RIGHT": ((506, 343, 566, 365), "RIGHT", False),
}
_LEFT_STICK = (184, 354)
_RIGHT_STICK = (432, 354)


def draw_pad(j_left: Sequence[float], j_right: Sequence[float], buttons: Sequence[float]) -> PIL.Image.Image:
    """Return a pad's picture, 640x512 RGB.

    Args:
        j_left: x and y in [-1, 1]; positive is right and down, as the deployed clients take it.
        j_right: x and y in [-1, 1]; positive is right and down, as the deployed clients take it.
        buttons: 21 values in the order of `BUTTONS`; above 0.5 is pressed.
    """
    picture = PIL.Image.new("RGB", PAD_SIZE, BACKGROUND)
    draw = PIL.ImageDraw.Draw(picture)
    draw.rounded_rectangle((24, 86, 616, 508), 60, _BODY)
    for name, value in zip(BUTTONS, buttons, strict=True):
        _draw_button(draw, name, is_pressed=value > 0.5)
    _draw_stick(draw, _LEFT_STICK, j_left)
    _draw_stick(draw, _RIGHT_STICK, j_right)
    return picture


def knob_centre(side: str, x: float, y: float) -> tuple[int, int]:
    """Return the point (x, y) where a stick's knob is drawn; `side` is "left" or "right"."""
    centre = _LEFT_STICK if side == "left" else _RIGHT_STICK
    reach = _STICK_RADIUS - _KNOB_RADIUS // 2
    return tuple(  # type: ignore[return-value]  # of two
        middle + round(min(1.0, max(-1.0, value)) * reach)
        for middle, value in zip(centre, (x, y), strict=True)
    )


@cache
def font(size: int) -> PIL.ImageFont.FreeTypeFont | PIL.ImageFont.ImageFont:
    """Return the font of all texts, which comes with Pillow; `size` in pixels."""
    return PIL.ImageFont.load_default(size)


def _draw_button(draw: PIL.ImageDraw.ImageDraw, name: str, *, is_pressed: bool) -> None:
    box, text, is_round = PLACES[name]
    fill = PRESSED if is_pressed else RELEASED
    if is_round:
        draw.ellipse(box, fill, _EDGE, 2)
    else:
        draw.rounded_rectangle(box, 8, fill, _EDGE, 2)
    left, top, right, bottom = box
    colour = _TEXT_PRESSED if is_pressed else _TEXT
    draw.text(((left + right) / 2, (top + bottom) / 2), text, colour, font(12), anchor="mm")


def _draw_stick(draw: PIL.ImageDraw.ImageDraw, centre: tuple[int, int], position: Sequence[float]) -> None:
    x, y = centre
    draw.ellipse(_square(x, y, _STICK_RADIUS), BACKGROUND, _EDGE, 2)
    draw.line((x - _STICK_RADIUS, y, x + _STICK_RADIUS, y), RELEASED)
    draw.line((x, y - _STICK_RADIUS, x, y + _STICK_RADIUS), RELEASED)
    knob = knob_centre("left" if centre == _LEFT_STICK else "right", position[0], position[1])
    draw.line((*centre, *knob), STICK, 4)
    draw.ellipse(_square(*knob, _KNOB_RADIUS // 2), STICK)
    draw.text(
        (x, y + _STICK_RADIUS + 42), f"{position[0]:+.2f}  {position[1]:+.2f}", _TEXT, font(13), anchor="mm"
    )
