"""The gamepad drawn beside the game's picture."""

from functools import cache

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

from nitrogen_play.interfaces import Picture
from nitrogen_play.pad import STICK_MAX, PadState

WIDTH, HEIGHT = 400, 480

_BACKGROUND = (245, 245, 240)
_LINE = (120, 124, 130)
_OFF = (222, 224, 226)
_ON = (214, 40, 57)
_STICK = (29, 99, 168)
_INK = (50, 54, 60)

# Each control's centre, half its width and height unless it is round, and what stands on it.
_DISCS = {
    "NORTH": (300, 120, "Y"),
    "SOUTH": (300, 200, "A"),
    "WEST": (260, 160, "X"),
    "EAST": (340, 160, "B"),
    "GUIDE": (200, 150, "G"),
}
_BARS = {
    "LEFT_TRIGGER": (100, 28, 56, 14, "LT"),
    "RIGHT_TRIGGER": (300, 28, 56, 14, "RT"),
    "LEFT_SHOULDER": (100, 66, 56, 14, "LB"),
    "RIGHT_SHOULDER": (300, 66, 56, 14, "RB"),
    "BACK": (164, 200, 28, 12, "back"),
    "START": (236, 200, 28, 12, "start"),
    "DPAD_UP": (92, 120, 20, 18, "up"),
    "DPAD_DOWN": (92, 200, 20, 18, "down"),
    "DPAD_LEFT": (50, 160, 20, 18, "left"),
    "DPAD_RIGHT": (134, 160, 20, 18, "right"),
    "RIGHT_UP": (292, 272, 22, 11, "up"),
    "RIGHT_BOTTOM": (292, 416, 22, 11, "down"),
    "RIGHT_LEFT": (208, 344, 22, 11, "left"),
    "RIGHT_RIGHT": (376, 344, 22, 11, "right"),
}
_DISC_RADIUS = 19
_STICKS = {"LEFT_THUMB": (92, 344), "RIGHT_THUMB": (292, 344)}
_STICK_RADIUS = 56
_KNOB_RADIUS = 18


def pad_picture(state: PadState, caption: str) -> Picture:
    """Return the pad as a picture, (480, 400, 3) RGB; what is held is red, sticks are blue.

    Args:
        state: the pad's.
        caption: a short text below it.
    """
    picture = PIL.Image.fromarray(_empty_pad())
    draw = PIL.ImageDraw.Draw(picture)
    for name in state.pressed:
        _control(draw, name, _ON, (255, 255, 255))
    for name, (x, y) in (("LEFT_THUMB", state.left), ("RIGHT_THUMB", state.right)):
        centre = _STICKS[name]
        reach = _STICK_RADIUS - _KNOB_RADIUS
        knob = (centre[0] + x * reach // STICK_MAX, centre[1] + y * reach // STICK_MAX)
        draw.line((*centre, *knob), _STICK, 5)
        draw.ellipse(_around(*knob, _KNOB_RADIUS), _ON if name in state.pressed else _STICK)
    draw.text((WIDTH // 2, HEIGHT - 18), caption, _INK, _font(15), anchor="mm")
    return np.asarray(picture)


@cache
def _empty_pad() -> Picture:
    picture = PIL.Image.new("RGB", (WIDTH, HEIGHT), _BACKGROUND)
    draw = PIL.ImageDraw.Draw(picture)
    for name in (*_DISCS, *_BARS):
        _control(draw, name, _OFF, _INK)
    for x, y in _STICKS.values():
        draw.ellipse(_around(x, y, _STICK_RADIUS), (255, 255, 255), _LINE, 2)
        draw.line((x - 8, y, x + 8, y), _LINE)
        draw.line((x, y - 8, x, y + 8), _LINE)
    return np.asarray(picture)


def _control(
    draw: PIL.ImageDraw.ImageDraw, name: str, fill: tuple[int, int, int], ink: tuple[int, int, int]
) -> None:
    if name in _DISCS:
        x, y, text = _DISCS[name]
        draw.ellipse(_around(x, y, _DISC_RADIUS), fill, _LINE, 2)
    elif name in _BARS:
        x, y, half_width, half_height, text = _BARS[name]
        box = (x - half_width, y - half_height, x + half_width, y + half_height)
        draw.rounded_rectangle(box, 6, fill, _LINE, 2)
    else:
        return  # A stick's click shows on its knob.
    draw.text((x, y), text, ink, _font(12), anchor="mm")


def _around(x: int, y: int, radius: int) -> tuple[int, int, int, int]:
    return (x - radius, y - radius, x + radius, y + radius)


@cache
def _font(size: int) -> PIL.ImageFont.FreeTypeFont | PIL.ImageFont.ImageFont:
    return PIL.ImageFont.load_default(size)
