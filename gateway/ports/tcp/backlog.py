"""Requests that have arrived and wait until their client's earlier ones leave them room."""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from gateway.errors import GatewayError
from gateway.protocol.messages import Event, ImageFile, RawFrame, Request

T = TypeVar("T")

# Requests that are handed on in one turn, so that a read full of tiny ones leaves the event loop to others.
AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Arrived:
    """One event of a stream, when its last byte came (`time.perf_counter`), and how long its bytes took."""

    event: Event | GatewayError
    arrival: float
    receive_s: float = 0.0

    @property
    def size(self) -> int:
        """Bytes of a request's image."""
        image = self.event.image if isinstance(self.event, Request) else None
        return len(image.data) if isinstance(image, RawFrame | ImageFile) else 0


class Backlog(Generic[T]):
    """Hands on what has arrived, in its order, while there is room.

    Args:
        hand_on: takes the next one, and may come back to `pump`.
        has_room: whether it may be handed on now.
        on_turn: called after each turn, whatever was handed on.
        call_soon: makes a call after others had their turn.
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
        """Whether what arrives next would have to wait."""
        return bool(self._waiting) or not self._has_room()

    def add(self, arrived: T) -> None:
        """Put what has arrived behind all that wait; `pump` hands it on."""
        self._waiting.append(arrived)

    def clear(self) -> int:
        """Drop all that wait; return how many they were."""
        count = len(self._waiting)
        self._waiting.clear()
        return count

    def pump(self) -> None:
        """Hand on what there is room for; more than `AT_ONCE` take another turn."""
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
        """Let nothing be handed on meanwhile, and no turn be taken."""
        self._is_held = True
        try:
            yield
        finally:
            self._is_held = False

    def _take_turn(self) -> None:
        self._turn_is_due = False
        self.pump()
