"""Requests that have arrived, and wait until their client's earlier ones leave room."""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from gateway.errors import GatewayError
from gateway.protocol.messages import Event, ImageFile, RawFrame, Request

T = TypeVar("T")

# Requests per turn, so that a read full of tiny ones leaves the event loop to others.
AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Arrived:
    """One event of a stream, when its last byte came (`time.perf_counter`), and how long it took to come."""

    event: Event | GatewayError
    arrival: float
    receive_s: float = 0.0

    @property
    def size(self) -> int:
        """Bytes of a request's image."""
        image = self.event.image if isinstance(self.event, Request) else None
        return len(image.data) if isinstance(image, RawFrame | ImageFile) else 0


class Backlog(Generic[T]):
    """Passes on what has arrived, in order, while there is room.

    Args:
        hand_on: takes the next one, and may call `pump` again.
        has_room: returns whether there is room for it.
        on_turn: called after each turn.
        call_soon: makes a call after others have had their turn.
    """

    def __init__(
        self,
        hand_on: Callable[[T], None],
        has_room: Callable[[], bool],
        on_turn: Callable[[], None],
        call_soon: Callable[[Callable[[], None]], object],
    ) -> None:
        self._hand_on = hand_on
        self._has_room = has_room
        self._on_turn = on_turn
        self._call_soon = call_soon
        self._waiting: deque[T] = deque()
        self._is_held = False
        self._turn_is_due = False

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def is_busy(self) -> bool:
        """Whether the next one would have to wait."""
        return bool(self._waiting) or not self._has_room()

    def add(self, arrived: T) -> None:
        """Add one behind all that wait; `pump` passes it on."""
        self._waiting.append(arrived)

    def clear(self) -> int:
        """Drop all that wait; return how many there were."""
        count = len(self._waiting)
        self._waiting.clear()
        return count

    def pump(self) -> None:
        """Pass on as many as there is room for, `AT_ONCE` per turn."""
        if self._is_held:
            return
        handed_on = 0
        self._is_held = True
        try:
            while self._waiting and handed_on < AT_ONCE and self._has_room():
                handed_on += 1
                self._hand_on(self._waiting.popleft())
        finally:
            self._is_held = False
        if handed_on == AT_ONCE and self._waiting and not self._turn_is_due:
            self._turn_is_due = True
            self._call_soon(self._take_turn)
        self._on_turn()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Pass nothing on inside this context."""
        self._is_held = True
        try:
            yield
        finally:
            self._is_held = False

    def _take_turn(self) -> None:
        self._turn_is_due = False
        self.pump()
