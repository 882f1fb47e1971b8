"""Bytes whose number is announced before they come: their buffer grows with what has arrived."""

# Python fills a bytearray with zeros, so that one of the announced length would take that much memory for the
# price of a header.
_FIRST_BUFFER_BYTES = 2**18


class ArrivingBytes:
    """`length` bytes on their way into `data`, of which `received` have come."""

    __slots__ = ("data", "length", "received")

    def __init__(self, length: int) -> None:
        self.length = length
        self.received = 0
        self.data = bytearray(min(length, _FIRST_BUFFER_BYTES))

    @property
    def complete(self) -> bool:
        """Whether all bytes are there."""
        return self.received == self.length

    def take(self, chunk: bytes | memoryview | bytearray) -> int:
        """Copy what belongs here from a chunk's beginning; returns how many bytes that were."""
        taken = 0
        while taken < len(chunk) and not self.complete:
            with self.buffer() as free:
                count = min(len(free), len(chunk) - taken)
                free[:count] = chunk[taken : taken + count]
            taken += count
            self.received += count
        return taken

    def buffer(self) -> memoryview:
        """Return where the next bytes belong: at least one, not always all that are missing."""
        if self.received == len(self.data):
            self.data.extend(bytes(min(len(self.data), self.length - len(self.data))))
        return memoryview(self.data)[self.received :]
