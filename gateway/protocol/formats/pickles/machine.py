"""The state of the pickle machine, which the opcodes' steps change."""

import re
from collections.abc import Callable

from gateway.errors import RequestError

MAX_LINE_BYTES = 2048  # of a number or a name in protocol 0
INTEGER = re.compile(rb"-?[0-9]+")  # as protocol 0 writes it


class Machine:
    """The state of one run: a stack, the stacks below its marks, and the memo.

    Attributes:
        state_level: how many marks there were, its own included, when an image's state began; 0 outside one.
        state_problem: the error of something in that state that is not allowed and may not be in `info`.
    """

    __slots__ = (
        "encode_budget",
        "max_int_bits",
        "memo",
        "position",
        "raw",
        "size",
        "stack",
        "stacks",
        "state_level",
        "state_problem",
        "view",
    )

    def __init__(self, raw: bytes, max_int_bits: int) -> None:
        self.raw = raw
        self.view = memoryview(raw)
        self.size = len(raw)
        self.position = 0
        self.stack: list[object] = []
        self.stacks: list[list[object]] = []
        self.memo: dict[int, object] = {}
        self.state_level = 0
        self.state_problem: Callable[[], RequestError] | None = None
        self.max_int_bits = max_int_bits
        self.encode_budget = len(raw)

    def advance(self, count: int) -> int:
        """Move over `count` bytes, which must be there; return where they start."""
        start = self.position
        end = start + count
        if end > self.size:
            raise RequestError(
                f"the pickle is torn: {count} bytes announced at byte {start}, {self.size - start} remain"
            )
        self.position = end
        return start

    def line(self, max_bytes: int = MAX_LINE_BYTES) -> bytes:
        """Return the bytes up to the next newline."""
        start = self.position
        end = self.raw.index(b"\n", start, start + max_bytes + 1)
        self.position = end + 1
        return self.raw[start:end]

    def pop_mark(self) -> list[object]:
        """Return the items above the last mark.

        Raises:
            RequestError: the mark begins an image's state, which must end otherwise.
        """
        if self.state_level and len(self.stacks) == self.state_level:
            raise RequestError("the pickle is malformed: a PIL image's state does not end as PIL writes it")
        items = self.stack
        self.stack = self.stacks.pop()
        return items


Step = Callable[[Machine], None]
