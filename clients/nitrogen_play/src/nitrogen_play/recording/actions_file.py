"""The file of what was pressed: a line of JSON per step, with the names that the reference's client writes.

`{"WEST": 0, ..., "LEFT_TRIGGER": [255], ..., "AXIS_LEFTX": [-3276], ..., "step": 4, "substep": 0, "tick": 72,
"ticks": 1, "by": "model"}`: `step` counts the chunks and `substep` the steps of one, as in the reference's
file; `tick` is the game's tick from which on it was held, `ticks` for how many at least, and `by` says who
held it, "model" or "human". `"began_again": true` stands where the game began again behind the step. The
reference writes none of the four.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nitrogen_play.errors import RecordingError
from nitrogen_play.pad import BUTTONS, PadState

_TRIGGERS = ("LEFT_TRIGGER", "RIGHT_TRIGGER")
_TRIGGER_MAX = 255
_AXES = ("AXIS_LEFTX", "AXIS_LEFTY", "AXIS_RIGHTX", "AXIS_RIGHTY")
_MIN_AXIS, _MAX_AXIS = -32_768, 32_767
_HANDS = ("model", "human")


@dataclass(frozen=True)
class RecordedStep:
    """A held state: from which tick on, and for how many ticks at least.

    Attributes:
        chunk: number of the chunk, -1 where none was played.
        index: the step within it.
        by: who held it, "model" or "human".
        began_again: whether the game began again after its last tick.
    """

    state: PadState
    chunk: int
    index: int
    tick: int
    ticks: int
    by: str = "model"
    began_again: bool = False


def step_line(step: RecordedStep) -> str:
    """Return a step as a line of the file, with its newline."""
    pressed = step.state.pressed
    fields: dict[str, object] = {}
    for name in BUTTONS:
        fields[name] = [_TRIGGER_MAX * (name in pressed)] if name in _TRIGGERS else int(name in pressed)
    for name, value in zip(_AXES, (*step.state.left, *step.state.right), strict=True):
        fields[name] = [value]
    fields |= {"step": step.chunk, "substep": step.index, "tick": step.tick, "ticks": step.ticks}
    fields["by"] = step.by
    if step.began_again:
        fields["began_again"] = True
    return json.dumps(fields) + "\n"


def read_steps(path: Path) -> list[RecordedStep]:
    """Read a file of actions, ours or the reference's; one without ticks has one tick per line.

    A line that does not say who pressed was the model's.

    A last line that was cut short is left out.

    Raises:
        RecordingError: the file cannot be read, or a line is not one of actions; the message says which.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecordingError(f"the recording {path} cannot be read: {error}") from error
    steps = list(_parsed(path, text))
    if not steps:
        raise RecordingError(f"the recording {path} has no actions")
    return steps


def _parsed(path: Path, text: str) -> Iterator[RecordedStep]:
    next_tick = 0
    for number, line in enumerate(text.splitlines(keepends=True), 1):
        if not line.endswith("\n"):
            return
        try:
            fields = json.loads(line)
            step = _step(fields, next_tick)
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
            reason = f"{type(error).__name__}: {error}"
            raise RecordingError(f"line {number} of {path} is not a line of actions ({reason})") from error
        yield step
        next_tick = step.tick + step.ticks


def _step(fields: dict[str, Any], next_tick: int) -> RecordedStep:
    left_x, left_y, right_x, right_y = (_integer(fields[name][0], _MIN_AXIS, _MAX_AXIS) for name in _AXES)
    pressed = frozenset(name for name in BUTTONS if _is_pressed(fields.get(name, 0)))
    tick = _integer(fields.get("tick", next_tick), next_tick, 1 << 40)
    ticks = _integer(fields.get("ticks", 1), 0, 1 << 20)
    state = PadState(pressed, (left_x, left_y), (right_x, right_y))
    by = fields.get("by", "model")
    if by not in _HANDS:
        raise ValueError(f'"by" is {by!r}, not "model" or "human"')
    began_again = fields.get("began_again", False) is True
    return RecordedStep(
        state, fields.get("step", 0), fields.get("substep", 0), tick, ticks, by, began_again=began_again
    )


def _is_pressed(value: object) -> bool:
    number = value[0] if isinstance(value, list) else value
    if not isinstance(number, int | float):
        raise TypeError(f"a button is {value!r}, not a number")
    return number > 0


def _integer(value: object, least: int, most: int) -> int:
    if not isinstance(value, int) or not least <= value <= most:
        raise ValueError(f"{value!r} is not an integer from {least} to {most}")
    return value
