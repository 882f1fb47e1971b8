"""The common part of port 5556's formats: a stream of headers, and of bodies whose length a header gives.

A format reads headers and interprets bodies. The transport gives it chunks by `receive`, or lets the kernel
write the rest of a body straight into its buffer, with `body_buffer` and `body_received`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable

from gateway.errors import FramingError, RequestError
from gateway.protocol.arriving import ArrivingBytes
from gateway.protocol.messages import Event, Reply

# Wrong requests in a row: each costs an exception, and no client has a reason for that many.
_MAX_WRONG = 32
_NOTHING = memoryview(b"")
# How much of a chunk is read at once.
_WINDOW_BYTES = 512
LINE_ENDS = b"\r\n"


class Body(ArrivingBytes):
    """A body of `length` bytes that is arriving; `finish` makes an event of it, or raises a RequestError."""

    __slots__ = ("finish",)

    def __init__(self, length: int, finish: Callable[[bytearray], Event]) -> None:
        super().__init__(length)
        self.finish = finish


class FramedStream(ABC):
    """One connection's parser: bytes in, events out, in order.

    The limits are the length and the nesting of a JSON text, and the length of an image file.
    """

    def __init__(
        self, *, max_header_bytes: int = 2**16, max_header_depth: int = 16, max_image_bytes: int = 2**25
    ) -> None:
        self.max_header_bytes = max_header_bytes
        self.max_header_depth = max_header_depth
        self.max_image_bytes = max_image_bytes
        self._rest = _NOTHING  # of the present chunk
        self._body: Body | None = None
        self._wrong = 0
        self._failed = False

    @abstractmethod
    def encode(self, reply: Reply) -> bytes:
        """Return the reply's bytes in this format."""

    @abstractmethod
    def _read_header(self) -> Event | Body | None:
        """Return the event, or the begun body, that the next bytes make; None if it needs more bytes.

        Raises:
            FramingError: they make neither.
        """

    @abstractmethod
    def _unfinished(self) -> tuple[str, int] | None:
        """Outside a body: the name of what has begun, and how many of its bytes are held."""

    @property
    def inside_header(self) -> bool:
        """Whether a header has begun but is not complete."""
        unfinished = None if self._failed or self._body is not None else self._unfinished()
        return unfinished is not None and unfinished[0] != "an image"

    @property
    def inside_request(self) -> bool:
        """Whether a header or a body has begun but is not complete."""
        return not self._failed and (self._body is not None or self._unfinished() is not None)

    @property
    def inside_image(self) -> bool:
        """Whether an image has begun but is not complete: the next bytes are not a command."""
        return not self._failed and self._body is not None

    @property
    def held_bytes(self) -> int:
        """Bytes of the body that is arriving."""
        return 0 if self._body is None else len(self._body.data)

    def receive(self, data: bytes | memoryview) -> list[Event]:
        """Return the events that `data` completes; bytes that must be kept are copied.

        A `FramingError` is a connection's last event: everything after it is ignored. After any other
        `RequestError` the stream goes on.
        """
        events: list[Event] = []
        self._rest = memoryview(data)
        try:
            while not self._failed and (event := self._next_event()) is not None:
                events.append(event)
                self._wrong = self._wrong + 1 if isinstance(event, RequestError) else 0
                if self._wrong > _MAX_WRONG and not self._failed:
                    self._failed, self._body = True, None
                    events.append(FramingError(f"more than {_MAX_WRONG} wrong requests in a row: fix them"))
        finally:
            self._rest = _NOTHING
        return events

    def body_buffer(self) -> memoryview | None:
        """Return a buffer for a body's next bytes, never empty; None outside a body.

        Bytes that do not fit into the view belong into the next one. Release the view before calling any
        method other than `body_received`.
        """
        return None if self._body is None else self._body.buffer()

    def body_received(self, count: int) -> list[Event]:
        """Return the events that `count` bytes, written to the beginning of `body_buffer()`, complete."""
        if self._body is None:
            raise ValueError(f"{count} bytes were received outside a body")
        self._body.received += count
        return self.receive(b"") if self._body.complete else []

    def receive_eof(self) -> RequestError | None:
        """Return the error of a stream that ends inside a request, or None if it may end here."""
        if not self.inside_request:
            return None
        unfinished = self._unfinished() if self._body is None else ("an image", self._body.received)
        where, held = unfinished or ("a request", 0)
        self._failed, self._body = True, None
        reason = self._why_unfinished() or "send whole requests"
        return FramingError(f"the stream ended inside {where}, after {held} of its bytes; {reason}")

    def late(self, allowed_s: float) -> FramingError:
        """Return the error of a request that was not complete within `allowed_s` seconds."""
        what = "the header" if self.inside_header else "the request"
        reason = self._why_unfinished() or "send it again"
        return FramingError(f"{what} did not arrive completely within {allowed_s:g} s: {reason}")

    def _why_unfinished(self) -> str | None:
        """Return why the begun request will never be complete, if that can be seen."""
        return None

    def _skip(self, blanks: bytes) -> bool:
        """Skip any of `blanks` that come next; return whether something else has come."""
        while window := self._look(_WINDOW_BYTES):
            rest = window.lstrip(blanks)
            self._take(len(window) - len(rest))
            if rest:
                return True
        return False

    def _look(self, count: int) -> bytes:
        """Return up to `count` of the next bytes."""
        return bytes(self._rest[:count])

    def _take(self, count: int) -> bytes:
        """Return up to `count` of the next bytes, and move past them."""
        taken = bytes(self._rest[:count])
        self._rest = self._rest[count:]
        return taken

    def _next_event(self) -> Event | None:
        try:
            if self._body is None:
                found = self._read_header()
                if not isinstance(found, Body):
                    return found
                self._body = found
            body = self._body
            self._rest = self._rest[body.take(self._rest) :]
            if not body.complete:
                return None
            self._body = None
            return body.finish(body.data)
        except FramingError as error:
            self._failed, self._body = True, None
            return error
        except RequestError as error:
            return error
