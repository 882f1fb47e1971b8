"""The BMP reader: its answer is the file's own size field, no answer, or a wish for more bytes."""

from gateway.protocol.bmp import NEED_MORE_BYTES, bmp_size

MAX_BYTES = 160


def check(data: bytes) -> None:
    """Fail on any exception, and on answers that change as the bytes come in."""
    answers = {bmp_size(data[:length]) for length in range(len(data) + 1)} - {NEED_MORE_BYTES}
    assert len(answers) <= 1
    for size in answers - {None}:
        assert size == int.from_bytes(data[2:6], "little")
    if len(data) >= 34:
        assert bmp_size(data) != NEED_MORE_BYTES
