"""Pickled PIL pictures of any kind, and their `info`, of which nothing is used and nothing does harm."""

import collections
import datetime
import decimal
import enum
import fractions
import gc
import io
import pathlib
import pickle
import time
import tracemalloc
import uuid
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from numpy.typing import NDArray
from PIL import PngImagePlugin

from gateway.errors import ImageError, RequestError, UnsafePickleError
from gateway.protocol.formats.pickle_format import decode_request
from gateway.protocol.formats.pickles.info import Inert
from gateway.protocol.messages import Pixels
from tests.gateway.protocol.formats.crooked_pickles import ATTACKS
from tests.gateway.protocol.formats.gadgets import LIVE, REFUSED
from tests.gateway.protocol.formats.pickle_parts import IMAGE, image, text, within_a_request

PICTURE = PIL.Image.effect_noise((64, 48), 60).convert("RGB")
MODES = ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV"]
FILES = (
    "AVIF BMP DDS DIB GIF ICNS ICO JPEG JPEG2000 MPO MSP PCX PNG PPM QOI SGI TGA TIFF WEBP XBM".split()  # noqa: SIM905 - shorter
)
AFTER = {
    "as opened": lambda image: image,
    "copied": lambda image: image.copy(),
    "cropped": lambda image: image.crop((1, 2, 30, 31)),
    "resized": lambda image: image.resize((20, 30)),
    "converted": lambda image: image.convert("RGBA").convert("RGB"),
}


def opened(file_format: str) -> PIL.Image.Image:
    """A picture as PIL opens it from a file."""
    PIL.Image.init()
    assert file_format in PIL.Image.SAVE
    buffer = io.BytesIO()
    mode = {"GIF": "P", "MSP": "1", "XBM": "1"}.get(file_format, "RGB")
    xmp = PngImagePlugin.PngInfo()
    xmp.add_itxt("XML:com.adobe.xmp", "<x/>")
    options = {"PNG": {"pnginfo": xmp, "dpi": (72, 72)}, "TIFF": {"dpi": (72, 72)}, "JPEG": {"dpi": (96, 96)}}
    PICTURE.convert(mode).save(buffer, file_format, **options.get(file_format, {}))
    buffer.seek(0)
    image = PIL.Image.open(buffer)
    image.load()
    return image


def decoded(image: PIL.Image.Image, protocol: int = 4, **fields: object) -> NDArray[np.uint8]:
    """The picture that the gateway makes of a pickled one; the same by the slower pickler."""
    request = {"type": "predict", "image": image, **fields}
    found = decode_request(pickle.dumps(request, protocol)).image
    buffer = io.BytesIO()
    pickle._Pickler(buffer, protocol).dump(request)  # type: ignore[attr-defined]  # what C's is made after
    again = decode_request(buffer.getvalue()).image
    assert isinstance(found, Pixels)
    assert isinstance(again, Pixels)
    np.testing.assert_array_equal(found.rgb, again.rgb)
    return found.rgb


@pytest.mark.parametrize("after", AFTER)
@pytest.mark.parametrize("file_format", FILES)
def test_a_picture_of_any_file_is_its_conversion_to_rgb(file_format: str, after: str) -> None:
    image = AFTER[after](opened(file_format))
    np.testing.assert_array_equal(decoded(image), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("protocol", range(2, 6))
@pytest.mark.parametrize("mode", [*MODES, "PA", "RGBX", "RGBa"])
def test_a_picture_of_any_mode_of_bytes_is_its_conversion_to_rgb(mode: str, protocol: int) -> None:
    image = {
        "PA": lambda: PICTURE.quantize(30).convert("PA"),
        "RGBa": lambda: PICTURE.convert("RGBA").convert("RGBa"),
    }.get(mode, lambda: PICTURE.convert(mode))()
    assert image.mode == mode
    np.testing.assert_array_equal(decoded(image, protocol), np.asarray(image.convert("RGB")))


class Odd(enum.Enum):
    """An object that somebody's own program may put into an image's info."""

    ONE = 1


class Own:
    """The same, with attributes."""

    def __init__(self) -> None:
        self.path = pathlib.Path("/somewhere")


THINGS = {
    "a path": pathlib.Path("/somewhere"),
    "a time": datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC),
    "numbers": [1j, decimal.Decimal("1.5"), fractions.Fraction(1, 2), 1 << 2000, float("nan")],
    "dicts": [
        collections.OrderedDict(a=1),
        collections.defaultdict(list, {1: [2]}),
        collections.Counter("aab"),
    ],
    "sets": [{1, 2}, frozenset({(1, 2)}), set()],
    "a deque": collections.deque([1, 2], maxlen=5),
    "arrays": [np.zeros(3), np.array([None], dtype=object), np.zeros(2, [("a", "u1")]), np.datetime64("now")],
    "scalars": [np.float32(3), np.bool_(True), np.str_("text")],
    "of one's own": [Odd.ONE, Own(), Own],
    "functions": [print, len, np.sum],
    "another picture": PICTURE.copy(),
    "a keyword object": uuid.uuid4(),
    "bytes": [b"a", bytearray(b"ab"), range(3), slice(1, 2)],
    "exif": PIL.Image.Exif(),
}


@pytest.mark.parametrize("protocol", range(2, 6))
@pytest.mark.parametrize("name", THINGS)
def test_what_stands_in_info_is_not_looked_at(name: str, protocol: int) -> None:
    image = PICTURE.copy()
    image.info = {"one": THINGS[name], "other": [THINGS[name], (THINGS[name], 1)], (1, 2): 3}
    image.info["itself"] = image.info
    np.testing.assert_array_equal(decoded(image, protocol), np.asarray(PICTURE))


@pytest.mark.parametrize("protocol", range(2, 6))
def test_what_info_shares_with_the_request_is_there_too(protocol: int) -> None:
    seed, size = np.int64(7), PICTURE.size
    image = PICTURE.copy()
    image.info = {"a": seed, "b": np.float64(1), "size": size, "odd": Odd.ONE, "mode": image.mode}
    inner = PICTURE.rotate(180)
    inner.info = {"odd": Own()}
    image.info["inner"] = inner
    request = {"type": "predict", "thumbnail": image, "image": inner, "seed": seed, "timing": np.True_}
    found = decode_request(pickle.dumps(request, protocol))
    assert (found.seed, found.timing) == (7, True)
    assert isinstance(found.image, Pixels)
    np.testing.assert_array_equal(found.image.rgb, np.asarray(inner))


@pytest.mark.parametrize("protocol", range(2, 6))
def test_the_same_beside_the_image_is_refused(protocol: int) -> None:
    image = PICTURE.copy()
    image.info = {"a": Odd.ONE}
    for fields in (
        {"image": image, "a": Odd.ONE},
        {"a": Odd.ONE, "image": image},
        {"image": image, "a": Odd},
    ):
        with pytest.raises(UnsafePickleError, match=r"Odd.*not allowed"):
            decode_request(pickle.dumps({"type": "predict", **fields}, protocol))


def within_info(program: bytes) -> bytes:
    """A request with a picture of one pixel, in whose info a pickle's program stands."""
    program = program.removeprefix(b"\x80\x04").removesuffix(b".")
    info = b"}" + text("x") + program + b"s"
    return within_a_request(IMAGE + b"](" + info + text("L") + b"K\x01K\x01\x86NC\x01aeb.")


def test_most_gadgets_in_info_are_a_picture_beside_which_nothing_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    taken = 0
    for gadget in (LIVE | REFUSED).values():
        try:
            image = decode_request(within_info(gadget)).image
        except RequestError:
            continue
        assert isinstance(image, Pixels)
        assert image.rgb.tolist() == [[[97, 97, 97]]]
        taken += 1
    assert taken > 80
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_in_info_costs_little_memory_and_time(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data = within_info(ATTACKS[name])
    tracemalloc.start()
    started = time.process_time()
    problem = ""
    try:
        decode_request(data)
    except RequestError as error:
        problem = str(error)
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert time.process_time() - started < 5
    assert peak < 2 * 2**20 + 8 * len(data)
    assert len(problem) < 600
    assert list(tmp_path.iterdir()) == []


def test_nothing_of_odd_info_waits_for_the_collector() -> None:
    """Else it would hold its message, however large, until then."""
    image = PICTURE.copy()
    image.info = {"a": Odd.ONE, "b": np.array([None], dtype=object)}
    gc.collect()
    gc.disable()
    try:
        decode_request(pickle.dumps({"type": "predict", "image": image}))
        assert not any(type(one) is Inert for one in gc.get_objects())
    finally:
        gc.enable()


@pytest.mark.parametrize("mode", ["P", "PA"])
def test_indexed_colours_without_a_palette_are_refused(mode: str) -> None:
    pixel = b"C" + bytes((len(mode),)) + b"\0" * len(mode)
    with pytest.raises(ImageError, match=f"mode {mode} has no palette"):
        decode_request(within_a_request(image(text(mode), b"K\x01K\x01\x86", b"N", pixel)))


def test_items_for_something_that_is_not_a_set_are_refused() -> None:
    with pytest.raises(RequestError, match="not a set"):
        decode_request(within_info(b"](K\x01\x90."))
