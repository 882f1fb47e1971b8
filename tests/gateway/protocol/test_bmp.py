"""A BMP file at a stream's start, told from a raw frame that begins with the same two bytes."""

import io
import struct

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.protocol.bmp import NEED_MORE_BYTES, bmp_size


def bmp(
    width: int = 5,
    height: int = 3,
    *,
    depth: int = 24,
    dib: int = 40,
    gap: int = 0,
    trailing: int = 0,
    compression: int = 0,
    planes: int = 1,
    reserved: int = 0,
    offset: int | None = None,
    size: int | None = None,
) -> bytes:
    """A BMP file, written by the format's description; `gap` bytes come before the pixels."""
    pixels = bytes((width * depth + 31) // 32 * 4 * abs(height))
    where = 14 + dib + gap
    if dib == 12:
        head = struct.pack("<IHHHH", dib, width, height, planes, depth)
    else:
        head = struct.pack(
            "<IiiHHIIiiII", dib, width, height, planes, depth, compression, len(pixels), 0, 0, 0, 0
        )
    head = head.ljust(dib, b"\0")
    total = where + len(pixels) + trailing
    start = struct.pack(
        "<2sIII", b"BM", total if size is None else size, reserved, where if offset is None else offset
    )
    return start + head + bytes(gap) + pixels + bytes(trailing)


@pytest.mark.parametrize("depth", [24, 32])
@pytest.mark.parametrize("height", [3, -3, 1, 240])
@pytest.mark.parametrize("width", [1, 2, 3, 4, 5, 256])
@pytest.mark.parametrize("dib", [40, 52, 56, 108, 124])
def test_the_size_of_a_bmp_file_is_read(dib: int, width: int, height: int, depth: int) -> None:
    data = bmp(width, height, depth=depth, dib=dib)
    assert bmp_size(data) == len(data)


@pytest.mark.parametrize(
    "options", [{"gap": 12}, {"gap": 1000}, {"trailing": 2}, {"dib": 12}, {"gap": 3, "dib": 12}]
)
def test_pixel_offsets_trailing_bytes_and_core_headers_are_taken(options: dict[str, int]) -> None:
    data = bmp(**options)  # type: ignore[arg-type]
    assert bmp_size(data) == len(data)


@pytest.mark.parametrize("compression", [0, 3, 6])
def test_bit_fields_are_taken_with_32_bits(compression: int) -> None:
    data = bmp(depth=32, compression=compression, gap=12)
    assert bmp_size(data) == len(data)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_files_by_pillow_are_recognised(mode: str) -> None:
    buffer = io.BytesIO()
    PIL.Image.new(mode, (7, 5)).save(buffer, "BMP")
    assert bmp_size(buffer.getvalue()) == len(buffer.getvalue())


WRONG = {
    "reserved words": bmp(reserved=1),
    "high reserved word": bmp(reserved=1 << 31),
    "planes": bmp(planes=2),
    "depth 8": bmp(depth=8),
    "depth 16": bmp(depth=16),
    "compressed": bmp(compression=1),
    "bit fields with 24 bits": bmp(compression=3),
    "DIB header of unknown size": bmp(dib=64),
    "no width": bmp(width=0),
    "no height": bmp(height=0),
    "negative width": bmp()[:18] + struct.pack("<i", -5) + bmp()[22:],
    "huge width": bmp(width=40_000),
    "offset inside the header": bmp(offset=20),
    "size too small": bmp(size=60),
    "size much too large": bmp(size=2**31),
    "not BM": b"BA" + bmp()[2:],
}


@pytest.mark.parametrize("data", WRONG.values(), ids=WRONG.keys())
def test_a_header_that_does_not_agree_is_no_bmp(data: bytes) -> None:
    assert bmp_size(data) is None


@pytest.mark.parametrize("fill", [0, 1, 66, 255])
def test_a_raw_frame_that_begins_with_bm_is_no_bmp(fill: int) -> None:
    frame = np.full((256, 256, 3), fill, np.uint8)
    frame[0, 0, :2] = 66, 77
    assert bmp_size(frame.tobytes()) is None


@pytest.mark.parametrize("data", [bmp(), bmp(dib=12), *WRONG.values()])
def test_a_short_head_asks_for_more_or_agrees_with_the_whole(data: bytes) -> None:
    whole = bmp_size(data)
    for length in range(min(len(data), 100)):
        assert bmp_size(data[:length]) in ({NEED_MORE_BYTES, whole} if length < 34 else {whole})


@settings(max_examples=500)
@given(st.binary(max_size=80).map(lambda tail: b"BM" + tail))
def test_any_bytes_have_an_answer_that_their_size_field_gives(head: bytes) -> None:
    size = bmp_size(head)
    if size not in (None, NEED_MORE_BYTES):
        assert size == int.from_bytes(head[2:6], "little")


@settings(max_examples=500)
@given(
    st.sampled_from([bmp(), bmp(dib=12), bmp(depth=32, compression=3), bmp(height=-3, gap=12)]),
    st.lists(st.tuples(st.integers(0, 33), st.integers(0, 255)), min_size=1, max_size=3),
)
def test_a_mutated_header_that_is_still_believed_agrees_with_itself(
    data: bytes, changes: list[tuple[int, int]]
) -> None:
    mutated = bytearray(data)
    for where, value in changes:
        mutated[where] = value
    size = bmp_size(mutated)
    if size is None:
        return
    offset, dib, *_ = struct.unpack_from("<II", mutated, 10)
    width, height = struct.unpack_from("<HH" if dib == 12 else "<ii", mutated, 18)
    depth = struct.unpack_from("<H", mutated, 24 if dib == 12 else 28)[0]
    rows = (width * depth + 31) // 32 * 4 * abs(height)
    assert size == int.from_bytes(mutated[2:6], "little")
    assert offset + rows <= size <= offset + rows + 2**16
    assert bmp_size(mutated[:34]) == size
