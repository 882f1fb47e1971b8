"""Lines that image libraries write to descriptor 2 do not reach the log."""

import os
import struct
import zlib
from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from contract.tensors import FRAME_BYTES
from gateway.decoder_threads import DecoderThreads
from gateway.images import as_frame
from gateway.protocol.messages import ImageFile

PICTURE = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)


def png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def forged_png() -> bytes:
    """A picture whose colour profile has the name of a line of the log, and is not a profile."""
    name = b"\n2026-01-01 ERROR forged\x1b[2J"
    png = cv2.imencode(".png", PICTURE)[1].tobytes()
    return png[:33] + png_chunk(b"iCCP", name + b"\0\0" + zlib.compress(bytes(200), 0)) + png[33:]


def torn_jpeg() -> bytes:
    jpeg = cv2.imencode(".jpg", PICTURE)[1].tobytes()
    return jpeg[: len(jpeg) // 2] + b"\xff\xd9"


@pytest.fixture
def threads() -> Iterator[DecoderThreads]:
    threads = DecoderThreads(2)
    yield threads
    threads.close()


@pytest.mark.parametrize("file", [forged_png(), torn_jpeg()], ids=["PNG", "JPEG"])
async def test_a_picture_writes_no_line(
    file: bytes, threads: DecoderThreads, capfd: pytest.CaptureFixture[str]
) -> None:
    image = ImageFile(file, "pad", may_be_raw=False)
    as_frame(image)
    written = capfd.readouterr().err
    assert "forged" in written or "JPEG" in written
    for _ in range(4):
        frame = await threads.run(lambda: as_frame(image))
        assert len(frame) == FRAME_BYTES
    assert capfd.readouterr().err == ""


async def test_only_these_threads_lose_their_descriptors(threads: DecoderThreads) -> None:
    read, write = os.pipe()
    with os.fdopen(read, "rb") as reader, os.fdopen(write, "wb") as writer:
        with pytest.raises(OSError, match="Bad file descriptor"):
            await threads.run(lambda: os.write(write, b"from a decoder"))
        writer.write(b"from the process")
        writer.close()
        # It ends here: the threads hold no copy of the pipe.
        assert reader.read() == b"from the process"


async def test_an_error_reaches_who_asked(threads: DecoderThreads) -> None:
    with pytest.raises(ZeroDivisionError):
        await threads.run(lambda: 1 / 0)
