"""Images to frames, against pixels computed by other means."""

import io
import struct
import subprocess
import sys
import zlib
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from contract.tensors import FRAME_BYTES, FRAME_SHAPE
from gateway.errors import ImageError
from gateway.images import MAX_IMAGE_PIXELS, as_frame
from gateway.protocol.messages import Image, ImageFile, Pixels, RawFrame, ResizeMode

Rgb = NDArray[np.uint8]
RANDOM = np.random.default_rng(5)
MODES: list[ResizeMode] = ["pad", "crop", "stretch"]


def noise(height: int, width: int) -> Rgb:
    return RANDOM.integers(0, 256, (height, width, 3), dtype=np.uint8)


def encoded(rgb: Rgb, file_format: str) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.fromarray(rgb).save(buffer, file_format)
    return buffer.getvalue()


def squared(rgb: Rgb, mode: ResizeMode) -> Rgb:
    """Pad or crop by the words of the protocol, a pixel at a time."""
    height, width = rgb.shape[:2]
    if mode == "stretch":
        return rgb
    if mode == "crop":
        side = min(height, width)
        first_row, first_column = max(0, height // 2 - side // 2), max(0, width // 2 - side // 2)
        rows = [rgb[first_row + row] for row in range(side)]
        return np.array([[row[first_column + column] for column in range(side)] for row in rows])
    side = max(height, width)
    black_above, black_left = (side - height) // 2, (side - width) // 2  # the odd pixel is below, right
    rows = []
    for row in range(side):
        inside = 0 <= row - black_above < height
        line = [
            rgb[row - black_above, column - black_left]
            if inside and 0 <= column - black_left < width
            else np.zeros(3, np.uint8)
            for column in range(side)
        ]
        rows.append(line)
    return np.array(rows)


def to_frame(image: Image, max_pixels: int = MAX_IMAGE_PIXELS) -> Rgb:
    """An image's frame as an array; fails unless the frame has exactly one byte for each value."""
    return np.frombuffer(as_frame(image, max_pixels), np.uint8).reshape(FRAME_SHAPE)


# Port 5555's pixels.


def test_pixels_of_256x256_are_not_touched() -> None:
    rgb = noise(256, 256)
    frame = to_frame(Pixels(rgb))
    assert np.shares_memory(frame, rgb)


@pytest.mark.parametrize("size", [(240, 256), (144, 160), (480, 640), (1, 1), (1, 300), (257, 255)])
def test_other_pixels_are_stretched_by_pils_bilinear(size: tuple[int, int]) -> None:
    rgb = noise(*size)
    frame = to_frame(Pixels(rgb))
    expected = PIL.Image.fromarray(rgb).resize((256, 256), PIL.Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(frame, np.asarray(expected))


def test_stretching_down_is_antialiased() -> None:
    stripes = np.zeros((512, 512, 3), np.uint8)
    stripes[:, ::2] = 200
    frame = to_frame(Pixels(stripes))
    assert frame[:, 2:-2].std() == 0  # every frame pixel averages black and 200 equally
    assert frame[0, 100, 0] == 100


@pytest.mark.parametrize("view", ["broadcast", "alpha dropped", "Fortran"])
def test_strided_pixels_come_out_contiguous(view: str) -> None:
    if view == "broadcast":
        rgb: Rgb = np.broadcast_to(noise(256, 256)[:, :, :1], (256, 256, 3))
    elif view == "Fortran":
        rgb = np.asfortranarray(noise(256, 256))
    else:
        rgb = RANDOM.integers(0, 256, (256, 256, 4), dtype=np.uint8)[:, :, :3]
    frame = to_frame(Pixels(rgb))
    np.testing.assert_array_equal(frame, rgb)


@pytest.mark.parametrize("shape", [(1, 8193, 3), (8193, 1, 3), (8192, 8192, 3)])
def test_pixels_beyond_the_limits_are_refused(shape: tuple[int, int, int]) -> None:
    with pytest.raises(ImageError, match=f"{shape[1]}x{shape[0]}"):
        to_frame(Pixels(np.broadcast_to(np.uint8(0), shape)))


# Port 5556's raw frames and image files.


def test_a_raw_frame_is_rows_of_rgb() -> None:
    rgb = noise(256, 256)
    frame = to_frame(RawFrame(rgb.tobytes()))
    np.testing.assert_array_equal(frame, rgb)


@pytest.mark.parametrize("file_format", ["PNG", "BMP"])
@pytest.mark.parametrize("mode", MODES)
def test_a_file_of_256x256_is_not_resized(mode: ResizeMode, file_format: str) -> None:
    rgb = noise(256, 256)
    frame = to_frame(ImageFile(encoded(rgb, file_format), mode))
    np.testing.assert_array_equal(frame, rgb)


SIZES = [
    (240, 256),
    (224, 256),
    (448, 512),
    (256, 100),
    (100, 256),
    (31, 300),
    (300, 31),
    (257, 256),
    (1, 1),
    (7, 4),
]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", SIZES)
def test_a_file_is_brought_to_a_square_and_resized_by_area(size: tuple[int, int], mode: ResizeMode) -> None:
    rgb = noise(*size)
    frame = to_frame(ImageFile(encoded(rgb, "PNG"), mode))
    expected = squared(rgb, mode)
    if expected.shape != FRAME_SHAPE:
        expected = cv2.resize(expected, (256, 256), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(frame, expected)


def test_a_nes_screenshot_is_padded_with_eight_black_rows_above_and_below() -> None:
    rgb = noise(240, 256)
    frame = to_frame(ImageFile(encoded(rgb, "PNG"), "pad"))
    np.testing.assert_array_equal(frame[8:248], rgb)
    assert not frame[:8].any()
    assert not frame[248:].any()


def test_halving_by_area_averages_four_pixels() -> None:
    rgb = noise(512, 512)
    frame = to_frame(ImageFile(encoded(rgb, "PNG"), "stretch"))
    mean = rgb.reshape(256, 2, 256, 2, 3).mean(axis=(1, 3))
    assert np.abs(frame - mean).max() <= 0.5


def test_a_jpeg_is_decoded_by_cv2() -> None:
    data = encoded(noise(256, 256), "JPEG")
    expected = cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    np.testing.assert_array_equal(to_frame(ImageFile(data)), expected)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "1", "I;16"])
def test_other_kinds_of_png_become_rgb(mode: str) -> None:
    buffer = io.BytesIO()
    if mode == "I;16":
        PIL.Image.fromarray(np.full((256, 256), 0x8080, np.uint16)).save(buffer, "PNG")
    else:
        PIL.Image.new("RGB", (256, 256), (255, 255, 255)).convert(mode).save(buffer, "PNG")
    frame = to_frame(ImageFile(buffer.getvalue()))
    assert (frame == (128 if mode == "I;16" else 255)).all()


def test_the_exif_orientation_is_applied() -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # turned a quarter clockwise for display
    buffer = io.BytesIO()
    left_black = np.full((256, 256, 3), 255, np.uint8)
    left_black[:, :128] = 0
    PIL.Image.fromarray(left_black).save(buffer, "JPEG", exif=exif, quality=95)
    frame = to_frame(ImageFile(buffer.getvalue()))
    assert frame[:120].max() < 20
    assert frame[136:].min() > 235


def test_bytes_of_a_frames_length_that_are_no_image_are_a_raw_frame() -> None:
    rgb = noise(256, 256)
    np.testing.assert_array_equal(to_frame(ImageFile(rgb.tobytes())), rgb)


def test_an_image_file_of_a_frames_length_is_decoded_all_the_same() -> None:
    data = encoded(np.full((256, 256, 3), 9, np.uint8), "PNG").ljust(FRAME_BYTES, b"\0")
    assert (to_frame(ImageFile(data)) == 9).all()


def png(width: int, height: int) -> bytes:
    """A black one-bit PNG file: 2,500 million pixels in 300 kB."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(9)
    row = bytes(1 + (width + 7) // 8)
    body = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


JPEG = encoded(noise(16, 16), "JPEG")
BAD = {
    "nothing": b"",
    "text": b"hello",
    "a PNG's first bytes": png(64, 64)[:30],
    "a PNG signature": b"\x89PNG\r\n\x1a\n" + b"x" * 100,
    "a JPEG's first bytes": encoded(noise(64, 64), "JPEG")[:100],
    "an empty BMP": b"BM" + bytes(60),
    "a GIF": encoded(noise(8, 8), "GIF"),
    "a TIFF": encoded(noise(8, 8), "TIFF"),
    "a PPM": encoded(noise(8, 8), "PPM"),
    "a JPEG 2000": encoded(noise(64, 64), "JPEG2000"),
    "an AVIF": encoded(noise(64, 64), "AVIF"),
    "a Radiance HDR": b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 1 +X 1\n\x01\x02\x03\x04",
    "a PFM": b"PF\n1 1\n-1.0\n" + bytes(12),
    "a Sun raster": struct.pack(">8I", 0x59A66A95, 1, 1, 24, 4, 1, 0, 0) + bytes(4),
    "a JPEG of 1,000 scans": JPEG[:-2] + JPEG[JPEG.rindex(b"\xff\xda") : -2] * 1000 + b"\xff\xd9",
    "a JPEG of 32 MB of markers": b"\xff\xd8" + b"\xff\x00" * 2**24,
    "a JPEG of 32 MB of fill bytes": b"\xff\xd8" + b"\xff" * 2**25,
}


@pytest.mark.parametrize("data", BAD.values(), ids=BAD.keys())
def test_files_that_do_not_decode_are_refused_in_silence(
    data: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ImageError, match="do not decode"):
        to_frame(ImageFile(data))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("size", [(8200, 8), (8, 8200), (5793, 5793)])
def test_files_beyond_the_limits_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ImageError, match=f"{size[0]}x{size[1]}"):
        to_frame(ImageFile(png(*size)))


@pytest.mark.parametrize("file_format", ["PNG", "BMP", "JPEG", "WEBP"])
def test_the_limit_of_pixels_is_a_parameter(file_format: str) -> None:
    file = ImageFile(encoded(noise(30, 40), file_format))
    to_frame(file, max_pixels=1200)
    with pytest.raises(ImageError, match="40x30; send at most 1199"):
        to_frame(file, max_pixels=1199)
    with pytest.raises(ImageError, match="40x30; send at most 1199"):
        to_frame(Pixels(noise(30, 40)), max_pixels=1199)
    to_frame(Pixels(noise(256, 256)), max_pixels=1)  # a frame is no larger than any


def test_sides_may_be_longer_where_more_pixels_are_allowed() -> None:
    to_frame(ImageFile(png(9000, 8), "stretch"), max_pixels=9000**2)


def test_a_raw_frame_that_begins_like_a_huge_file_is_a_raw_frame() -> None:
    rgb = noise(256, 256)
    for begin in (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\xff\xff\xff\xff\xff", b"BM", b"\xff\xd8\xff\xc0"):
        data = begin + rgb.tobytes()[len(begin) :]
        np.testing.assert_array_equal(to_frame(ImageFile(data)), to_frame(RawFrame(data)))


def test_a_bad_file_of_a_frames_length_is_refused_where_it_cannot_be_raw() -> None:
    with pytest.raises(ImageError):
        to_frame(ImageFile(bytes(FRAME_BYTES), may_be_raw=False))


def test_a_decompression_bomb_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png(50_000, 50_000))
    script = """
import resource, sys, time
from pathlib import Path
from gateway.errors import ImageError
from gateway.image_headers import image_header
from gateway.images import as_frame
from gateway.protocol.messages import ImageFile
data = Path(sys.argv[1]).read_bytes()
before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
try:
    as_frame(ImageFile(data))
except ImageError:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, time.process_time() - start)
"""
    run = subprocess.run(
        [sys.executable, "-c", script, str(path)], check=True, capture_output=True, text=True, timeout=60
    )
    grown_kib, seconds = run.stdout.split()
    assert int(grown_kib) < 20 * 1024
    assert float(seconds) < 0.2


@settings(max_examples=200)
@given(st.sampled_from(["PNG", "BMP", "JPEG", "WEBP"]), st.data())
def test_damaged_files_are_frames_or_image_errors(file_format: str, data: st.DataObject) -> None:
    damaged = bytearray(
        encoded(np.arange(300, dtype=np.uint16).astype(np.uint8).reshape(10, 10, 3), file_format)
    )
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    del damaged[data.draw(st.integers(len(damaged) // 2, len(damaged))) :]
    with suppress(ImageError):
        to_frame(ImageFile(bytes(damaged), data.draw(st.sampled_from(MODES))))


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_frames_or_image_errors(data: bytes) -> None:
    with suppress(ImageError):
        to_frame(ImageFile(data))
