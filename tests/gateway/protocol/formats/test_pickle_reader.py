"""The pickle machine: plain values as the standard library reads them, everything else refused."""

import io
import pickle
import struct
import subprocess
import sys
import time
import tracemalloc
import zipfile
from contextlib import suppress

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import RequestError, UnsafePickleError
from gateway.protocol.formats.pickles.reader import read_pickle
from gateway.protocol.formats.pickles.values import PickledImage
from tests.gateway.protocol.formats.gadgets import REFUSED
from tests.gateway.protocol.formats.pickle_parts import C4, IMAGE, RECONSTRUCTED, U1, array, text
from tests.paths import PICKLES

PROTOCOLS = range(6)


def plain(value: object) -> object:
    """The value with the reader's memoryviews as bytes."""
    match value:
        case dict():
            return {key: plain(item) for key, item in value.items()}
        case list() | tuple():
            return type(value)(plain(item) for item in value)
        case memoryview() | bytearray():
            return bytes(value)
        case _:
            return value


KEYS = st.text(max_size=9) | st.integers(-(2**60), 2**60) | st.none()
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**4000), 2**4000)
    | st.floats(allow_nan=False)
    | st.text()
    | st.text("\n\\\udc80a\u20ac\U0001f600")
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.lists(inner, max_size=5).map(tuple)
        | st.dictionaries(KEYS, inner, max_size=5)
    ),
    max_leaves=20,
)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@given(value=VALUES)
def test_plain_values_come_out_as_they_went_in(protocol: int, value: object) -> None:
    assert read_pickle(pickle.dumps(value, protocol)) == value


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("data", [b"x", b"\x00\xff" * 200, b"\n" * 70_000], ids=["short", "long", "longer"])
def test_bytes_are_read_in_every_protocol(protocol: int, data: bytes) -> None:
    assert plain(read_pickle(pickle.dumps({"data": data}, protocol))) == {"data": data}


def test_bytearrays_are_read_in_protocol_5() -> None:
    assert plain(read_pickle(pickle.dumps([bytearray(b"abc")], 5))) == [b"abc"]


@pytest.mark.parametrize("dtype", ["u1", "i8", "f4", "f8", ">f4", ">u2", "?", "c8"])
@pytest.mark.parametrize("order", ["C", "F", "transposed"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_arrays_are_read_with_their_dtype_and_order(protocol: int, order: str, dtype: str) -> None:
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)
    if order == "F":
        array = np.asfortranarray(array)
    elif order == "transposed":
        array = array.transpose(1, 0, 2)
    found = read_pickle(pickle.dumps(array, protocol))
    assert isinstance(found, np.ndarray)
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)


def test_an_array_shares_memory_with_its_message() -> None:
    data = pickle.dumps(np.zeros((256, 256, 3), np.uint8), 4)
    found = read_pickle(data)
    assert isinstance(found, np.ndarray)
    assert np.shares_memory(found, np.frombuffer(data, np.uint8))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_array_that_is_used_twice_is_read_twice(protocol: int) -> None:
    array = np.arange(3)
    first, second, third = read_pickle(pickle.dumps([array, array, array * 2], protocol))  # type: ignore[misc]
    np.testing.assert_array_equal(first, array)
    np.testing.assert_array_equal(second, array)
    np.testing.assert_array_equal(third, array * 2)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("scalar", [np.int64(-5), np.uint8(200), np.float32(0.5), np.True_], ids=repr)
def test_numpy_scalars_become_python_values(protocol: int, scalar: np.generic) -> None:
    found = read_pickle(pickle.dumps(scalar, protocol))
    assert found == scalar.item()
    assert type(found) is type(scalar.item())


@pytest.mark.parametrize("protocol", range(2, 6))
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "1"])
def test_pil_images_become_their_state(protocol: int, mode: str) -> None:
    image = PIL.Image.new("RGB", (5, 3), (200, 100, 50)).convert(mode)
    image.info["dpi"] = (72, 72)
    found = read_pickle(pickle.dumps(image, protocol))
    assert isinstance(found, PickledImage)
    assert (found.mode, found.size) == (mode, (5, 3))
    assert bytes(found.data) == image.tobytes()
    assert found.palette == (bytes(image.getpalette() or []) if mode == "P" else None)


def test_bytes_after_the_end_are_ignored() -> None:
    assert read_pickle(pickle.dumps({"type": "info"}) + b"more") == {"type": "info"}


def test_a_memoryview_is_read_as_bytes_are() -> None:
    assert read_pickle(memoryview(pickle.dumps({"type": "info"}))) == {"type": "info"}


# The pickles below are refused.


def read_or_refuse(data: bytes) -> None:
    """Reads; a refusal is fine when its text is short, and any other exception is not."""
    refusal = ""
    try:
        read_pickle(data)
    except RequestError as error:
        refusal = str(error)
    assert len(refusal) < 500


def test_the_error_names_the_global_within_bounds() -> None:
    with pytest.raises(UnsafePickleError, match=r"'numpy\.fromfile'"):
        read_pickle(pickle.dumps(np.fromfile, 4))
    with pytest.raises(UnsafePickleError, match=r"\\n\\x1b\\u20ac") as caught:
        read_pickle(text("\n\x1b€" + "m" * 10_000) + text("n" * 10_000) + b"\x93.")
    assert len(str(caught.value)) < 500
    with pytest.raises(UnsafePickleError) as caught:
        read_pickle(text("\U0001f600" * 100) + text("\U0001f600" * 100) + b"\x93.")
    assert len(str(caught.value)) < 500


def test_a_stand_in_that_was_never_built_changes_nothing_for_the_next_pickle() -> None:
    good = pickle.dumps(PIL.Image.new("L", (2, 1), 9))
    poisons = [data for name, data in REFUSED.items() if name.startswith("BUILD")]
    for data in (*poisons, IMAGE + b"."):
        with suppress(UnsafePickleError):
            read_pickle(data)
        found = read_pickle(good)
        assert isinstance(found, PickledImage)
        assert bytes(found.data) == b"\x09\x09"


U1_UNBUILT = b"cnumpy\ndtype\n(" + text("u1") + b"\x89\x88tR"
BIG = struct.pack("<q", 2**62)

MALFORMED = {
    "nothing": b"",
    "no end": b"\x80\x04",
    "protocol 6": b"\x80\x06.",
    "empty stack": b".",
    "JSON": b'{"type": "reset"}',
    "shape too large": array(b"K\x05\x85", U1, C4),
    "shape too small": array(b"K\x03\x85", U1, C4),
    "shape that overflows": array(b"\x8a\x08" + BIG + b"K\x04\x86", U1, C4),
    "shape whose product wraps": array(b"J\x00\x00\x00\x40J\x00\x00\x00\x40K\x10\x87", U1, C4),
    "negative sizes": array(b"J\xfe\xff\xff\xffJ\xfe\xff\xff\xff\x86", U1, C4),
    "boolean size": array(b"\x88K\x04\x86", U1, C4),
    "nine dimensions": array(b"(" + b"K\x01" * 9 + b"t", U1, b"C\x01a"),
    "shape is a list": array(b"]K\x04a", U1, C4),
    "huge empty shape": array(
        b"K\x00J\xff\xff\xff\x7fJ\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x87\x86", U1, b"C\x00"
    ),
    "data is text": array(b"K\x04\x85", U1, text("abcd")),
    "data is a list": array(b"K\x04\x85", U1, b"]"),
    "dtype is text": array(b"K\x04\x85", text("u1"), C4),
    "dtype not built": array(b"K\x04\x85", U1_UNBUILT, C4),
    "order is text": array(b"K\x04\x85", U1, C4, text("F")),
    "object dtype": pickle.dumps(np.array([None, {}], dtype=object), 4),
    "structured dtype": pickle.dumps(np.zeros(2, dtype=[("a", "u1")]), 4),
    "void dtype": pickle.dumps(np.zeros(2, dtype="V3"), 4),
    "text dtype": pickle.dumps(np.array(["a"]), 4),
    "time dtype": pickle.dumps(np.zeros(2, dtype="M8[s]"), 4),
    "dtype with metadata": pickle.dumps(np.zeros(2, dtype=np.dtype("u1", metadata={"a": 1})), 4),
    "frombuffer with an array for its order": (
        b"cnumpy.core.numeric\n_frombuffer\n(C\x01a"
        + U1
        + b"K\x01\x85"
        + array(b"K\x04\x85", U1, C4)[:-1]
        + b"tR."
    ),
    "frombuffer with unknown axes": (
        b"cnumpy._core.numeric\n_frombuffer\n(C\x01a" + U1 + b"K\x01\x85" + text("K") + b"K\x01\x85tR."
    ),
    "scalar with bytes left": b"cnumpy.core.multiarray\nscalar\n" + U1 + C4 + b"\x86R.",
    "scalar alone": b"cnumpy.core.multiarray\nscalar\n)R.",
    "dtype of a number": b"cnumpy\ndtype\nK\x01\x85R.",
    "text beyond latin1": b"c_codecs\nencode\n(" + text("€") + text("latin1") + b"tR.",
    "image state too short": IMAGE + b"](}" + text("L") + b"eb.",
    "image state is text": IMAGE + text("L") + b"b.",
    "image mode is a number": IMAGE + b"](}K\x01K\x01K\x01\x86NC\x01aeb.",
    "image size is text": IMAGE + b"](}" + text("L") + text("ab") + b"NC\x01aeb.",
    "image size of three": IMAGE + b"](}" + text("L") + b"K\x01K\x01K\x01\x87NC\x01aeb.",
    "image palette of floats": IMAGE + b"](}" + text("P") + b"K\x01K\x01\x86]G" + bytes(8) + b"aC\x01aeb.",
    "image palette of lists": IMAGE + b"](}" + text("P") + b"K\x01K\x01\x86]]aC\x01aeb.",
    "image palette is a number": IMAGE + b"](}" + text("P") + b"K\x01K\x01\x86K\x05C\x01aeb.",
    "image data is a list": IMAGE + b"](}" + text("L") + b"K\x01K\x01\x86N]eb.",
    "tuple as key": b"})K\x01s.",
    "bytes as key": b"}C\x01aK\x01s.",
    "array as key": b"}" + array(b"K\x04\x85", U1, C4)[:-1] + b"K\x01s.",
    "huge integer as key": b"}\x8a\x09" + b"\x01" * 9 + b"K\x01s.",
    "key without a value": b"}(K\x01u.",
    "items of a list": b"](K\x01K\x01u.",
    "append to a dict": b"}K\x01a.",
    "extend a tuple": b")(K\x01e.",
    "text that is not UTF-8": b"X\x02\x00\x00\x00\xff\xff.",
    "global whose name is not text": b"K\x01K\x02\x93.",
    "global without lines": b"cos",
    "unknown memo index": b"h\x07.",
    "memo index that is text": b"K\x01pabc\n.",
    "integer with underscores": b"I1_000\n.",
    "integer that is text": b"Labc\n.",
    "float that is text": b"Fabc\n.",
    "integer beyond 4,096 bits": pickle.dumps(2**5000, 2),
    "text integer beyond 4,096 bits": b"L" + b"9" * 1400 + b"L\n.",
    "line without end": b"L" + b"9" * 100_000,
    "negative length of an integer": b"\x8b\xff\xff\xff\xff.",
    "long frame": b"\x80\x04\x95\xff\x00\x00\x00\x00\x00\x00\x00N.",
    "huge LONG4": b"\x8b\xff\xff\xff\x7f.",
    "huge BINBYTES": b"B\xff\xff\xff\xff.",
    "huge BINBYTES8": b"\x8e" + b"\xff" * 8 + b".",
    "huge BYTEARRAY8": b"\x96\x00\x00\x00\x00\x10\x00\x00\x00.",
    "huge BINUNICODE": b"X\xff\xff\xff\xff.",
    "huge BINUNICODE8": b"\x8d\x00\x00\x00\x00\x10\x00\x00\x00.",
    "Python 2 text": b"U\x01a.",
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_pickles_are_refused_with_a_short_sentence(data: bytes) -> None:
    with pytest.raises(RequestError) as caught:
        read_pickle(data)
    assert len(str(caught.value)) < 300


def nested_laughs() -> bytes:
    """[[...], [...]] forty deep, sharing each level: 2**40 items when walked."""
    value: list[object] = ["ha"]
    for _ in range(40):
        value = [value, value]
    return pickle.dumps(value, 4)


BOMBS = {
    "memo index": b"Nr\xff\xff\xff\xff.",
    "many memo indexes": b"N" + b"".join(b"r" + struct.pack("<I", 2**32 - i) for i in range(1, 9_000)) + b".",
    "nested tuple as key": b"})" + b"\x85" * 1_000_000 + b"K\x01s.",
    "nested tuple": b")" + b"\x85" * 19_990 + b".",
    "nested lists": b"](" * 1_000_000,
    "million opcodes": b"N0" * 1_000_000 + b".",
    "shared lists": nested_laughs(),
    "encode again and again": (
        b"X" + struct.pack("<I", 2**20) + b"a" * 2**20 + b"q\x000" + b"X\x06\x00\x00\x00latin1q\x010"
        b"c_codecs\nencode\nq\x020" + b"h\x02h\x00h\x01\x86R" * 3000 + b"."
    ),
    "colliding keys": (
        b"}(" + b"".join(pickle.dumps(i * (2**61 - 1), 2)[2:-1] + b"N" for i in range(9_000)) + b"u."
    ),
    "shared axes": (
        b"(" + b"K\x00" * 9_000 + b"tq\x000" + U1 + b"q\x010"
        + (b"cnumpy.core.numeric\n_frombuffer\n(C\x01ah\x01K\x01\x85" + text("K") + b"h\x00tR") + b"."
    ),
}  # fmt: skip


def least_time_s(data: bytes) -> float:
    """Processor time of reading a message, the least of five: other work and collections only add to it."""
    times = []
    for _ in range(5):
        start = time.process_time()
        read_or_refuse(data)
        times.append(time.process_time() - start)
    return min(times)


@pytest.mark.parametrize("data", BOMBS.values(), ids=BOMBS.keys())
def test_bombs_cost_little_time_and_memory(data: bytes) -> None:
    ordinary = pickle.dumps(list(range(200_000)), 2)
    assert least_time_s(data) < 20 * least_time_s(ordinary)
    tracemalloc.start()
    try:
        read_or_refuse(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * 2**20


def test_hundred_thousand_nested_tuples_do_not_end_the_process() -> None:
    script = (
        "from gateway.protocol.formats.pickles.reader import read_pickle\n"
        "value = read_pickle(b')' + b'\\x85' * 100_000 + b'.', max_opcodes=10**6)\n"
        "del value\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_the_limits_are_keywords() -> None:
    with pytest.raises(RequestError, match="more than 10 opcodes"):
        read_pickle(pickle.dumps(list(range(10))), max_opcodes=10)
    with pytest.raises(RequestError, match="64 bits"):
        read_pickle(pickle.dumps(2**70), max_int_bits=64)


# Property tests.


OPCODES = sorted(
    code[0]
    for name, code in vars(pickle).items()
    if name.isupper() and type(code) is bytes and len(code) == 1
)


@settings(max_examples=500)
@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_request_errors_only(data: bytes) -> None:
    read_or_refuse(data)


@settings(max_examples=500)
@given(
    st.lists(
        st.sampled_from([bytes([code]) for code in OPCODES])
        | st.sampled_from(
            [U1, RECONSTRUCTED, IMAGE, C4, text("latin1"), text("K"), b"K\x04\x85", b"h\x00", b"q\x00"]
        )
        | st.sampled_from([b"c_codecs\nencode\n", b"cnumpy.core.numeric\n_frombuffer\n", b"cnumpy\ndtype\n"])
        | st.binary(max_size=3),
        max_size=40,
    )
)
def test_arbitrary_programs_raise_request_errors_only(parts: list[bytes]) -> None:
    read_or_refuse(b"".join(parts) + b".")


def real_pickles() -> list[bytes]:
    found = []
    for path in sorted(PICKLES.glob("*.zip")):
        with zipfile.ZipFile(path) as archive:
            found += [archive.read(name) for name in archive.namelist() if "256" not in name]
    return found


REAL = real_pickles()


@settings(max_examples=500)
@given(st.data())
def test_mutated_real_pickles_raise_request_errors_only(data: st.DataObject) -> None:
    message = bytearray(data.draw(st.sampled_from(REAL)))
    for _ in range(data.draw(st.integers(1, 4))):
        # Most of a message is pixels; its program is at the two ends.
        near_end = data.draw(st.booleans())
        position = data.draw(st.integers(0, min(250, len(message) - 1)))
        position = len(message) - 1 - position if near_end else position
        what = data.draw(st.sampled_from(["set", "delete", "insert", "cut"]))
        if what == "set":
            message[position] = data.draw(st.integers(0, 255))
        elif what == "insert":
            message[position:position] = data.draw(st.binary(min_size=1, max_size=4))
        elif what == "delete" and len(message) > 1:
            del message[position]
        elif what == "cut" and position:
            del message[position:]
    read_or_refuse(bytes(message))


def test_every_torn_end_of_a_real_pickle_is_refused() -> None:
    message = pickle.dumps(
        {"type": "predict", "image": np.zeros((2, 2, 3), np.uint8), "seed": np.int64(3)}, 4
    )
    for end in range(len(message)):
        with pytest.raises(RequestError):
            read_pickle(message[:end])


def test_the_standard_library_agrees_about_what_real_pickles_hold() -> None:
    request = {"type": "predict", "seed": 5, "game": "Zelda", "nested": [(1, 2.5, None), {"a": True}]}
    for protocol in PROTOCOLS:
        message = pickle.dumps(request, protocol)
        assert read_pickle(message) == pickle.Unpickler(io.BytesIO(message)).load()
