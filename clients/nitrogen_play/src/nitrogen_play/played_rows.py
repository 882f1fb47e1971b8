"""The rows pressed since the server was last told: one for each of the game's ticks."""

from collections import deque
from typing import Any

from nitrogen_play.pad import BUTTONS, STICK_MAX, PadState

_ROWS_AT_ONCE = 64  # that a request takes
_MAX_ROWS = 4 * _ROWS_AT_ONCE


class PlayedRows:
    """Collects what is held; `tick` is the first row's. Where too much waits, the oldest goes."""

    def __init__(self) -> None:
        self._rows: deque[dict[str, Any]] = deque(maxlen=_MAX_ROWS)
        self._held: dict[str, Any] | None = None
        self._next_tick = 0

    def hold(self, state: PadState, first_tick: int, end_tick: int, by: str = "model") -> None:
        """Note what is held from a tick on, and was seen to be held up to another, which is not counted.

        Args:
            state: the pad's.
            first_tick: the one from which on it is held.
            end_tick: the one up to which it was seen to be held, exclusive.
            by: "model" or "human".
        """
        # The state from before was held on in ticks that nobody counted.
        if self._held is not None:
            self._add(self._held, first_tick - self._next_tick)
        self._held = _row(state, by)
        self._add(self._held, end_tick - first_tick)
        self._next_tick = end_tick

    @property
    def is_full(self) -> bool:
        """Whether there are as many rows as a request takes."""
        return len(self._rows) >= _ROWS_AT_ONCE

    def take(self) -> list[tuple[int, list[dict[str, Any]]]]:
        """Return the rows so far and forget them: as many as a request takes, with the first one's tick."""
        rows = list(self._rows)
        self._rows.clear()
        first = self._next_tick - len(rows)
        return [
            (first + begin, rows[begin : begin + _ROWS_AT_ONCE])
            for begin in range(0, len(rows), _ROWS_AT_ONCE)
        ]

    def _add(self, row: dict[str, Any], count: int) -> None:
        self._rows.extend([row] * min(count, _MAX_ROWS))


def _row(state: PadState, by: str) -> dict[str, Any]:
    return {
        "by": by,
        "buttons": [int(name in state.pressed) for name in BUTTONS],
        "j_left": [value / STICK_MAX for value in state.left],
        "j_right": [value / STICK_MAX for value in state.right],
    }
