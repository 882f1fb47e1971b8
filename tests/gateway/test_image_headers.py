"""Image files' headers: they tell the size that cv2 decodes, so that no other size gets past the limits."""

import io
from contextlib import suppress

import cv2
import numpy as np
import PIL.Image
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.image_headers import image_header

KINDS = {
    "PNG": {},
    "BMP": {},
    "JPEG": {},
    "JPEG progressive": {"progressive": True},
    "WEBP": {"lossless": True},
    "WEBP lossy": {},
    "WEBP with alpha": {},
}  # fmt: skip


def kinds(width: int, height: int) -> dict[str, bytes]:
    found = {}
    for kind, how in KINDS.items():
        buffer = io.BytesIO()
        mode = "RGBA" if "alpha" in kind else "RGB"
        PIL.Image.new(mode, (width, height), 100).save(buffer, kind.split()[0], **how)
        found[kind] = buffer.getvalue()
    return found


@given(st.integers(1, 70), st.integers(1, 70))
@settings(max_examples=20)
def test_a_header_tells_the_size_that_is_decoded(width: int, height: int) -> None:
    for kind, data in kinds(width, height).items():
        header = image_header(data)
        assert header is not None
        assert (header.kind.upper(), header.width, header.height) == (kind.split()[0], width, height)


SMALL = kinds(13, 5)


@settings(max_examples=500)
@given(st.sampled_from(sorted(SMALL)), st.data())
def test_whatever_cv2_decodes_has_the_size_that_its_header_told(kind: str, data: st.DataObject) -> None:
    """No damaged header makes cv2 decode more than was checked."""
    damaged = bytearray(SMALL[kind])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, min(len(damaged) - 1, 700)))
        what = data.draw(st.sampled_from(["set", "insert", "delete"]))
        if what == "set":
            damaged[at] = data.draw(st.integers(0, 255))
        elif what == "insert":
            damaged[at:at] = data.draw(st.binary(max_size=4))
        else:
            del damaged[at]
        damaged = damaged or bytearray(1)
    header = image_header(damaged)
    if header is None or header.width * header.height > 10**6:
        return
    with suppress(cv2.error):
        bgr = cv2.imdecode(np.frombuffer(damaged, np.uint8), cv2.IMREAD_COLOR)
        if bgr is not None:
            assert sorted(bgr.shape[:2]) == sorted((header.width, header.height))
