"""Bytes whose number is announced first: their buffer grows as they arrive."""

# Python fills a bytearray with zeros: at the announced length, a header alone would take that much memory.
_FIRST_BUFFER_BYTES = 2**18


class ArrivingBytes:
    """`length` bytes that go into `data`; `received` of them have come."""

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
        """Copy the bytes that belong here from a chunk's beginning; return how many there were."""
        taken = 0
        while taken < len(chunk) and not self.complete:
            with self.buffer() as free:
                count = min(len(free), len(chunk) - taken)
                free[:count] = chunk[taken : taken + count]
            taken += count
            self.received += count
        return taken

    def buffer(self) -> memoryview:
        """Return the buffer for the next bytes: at least one, not always all that are missing."""
        if self.received == len(self.data):
            self.data.extend(bytes(min(len(self.data), self.length - len(self.data))))
        return memoryview(self.data)[self.received :]
