"""Port 5555's messages: requests of real clients, and replies that real clients load."""

import pickle
import pickletools
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from gateway.errors import ImageError, RequestError
from gateway.protocol.formats import pickle_format
from gateway.protocol.formats.known_messages import KnownMessages
from gateway.protocol.formats.pickle_format import decode_request, encode_reply
from gateway.protocol.messages import UNSET, ActionChunk, Pixels, Reply, Request, Timing
from tests.environments import fresh_environment
from tests.paths import PICKLES

WRITERS = sorted(path.stem for path in PICKLES.glob("*.zip"))
PROTOCOLS = range(2, 6)


def blocks() -> NDArray[np.uint8]:
    """The 256x256 image of the stored pickles."""
    rows, columns = np.mgrid[0:256, 0:256] // 32 * 32
    return np.stack([columns, rows, np.full_like(rows, 7)], axis=2).astype(np.uint8)


def small() -> NDArray[np.uint8]:
    """The 20x12 image of the stored pickles."""
    rows, columns = np.mgrid[0:12, 0:20]
    return np.stack([columns * 12, rows * 20, columns * 12 + rows * 20], axis=2).astype(np.uint8)


def stored(writer: str, name: str, protocol: int) -> bytes:
    with zipfile.ZipFile(PICKLES / f"{writer}.zip") as archive:
        return archive.read(f"{name}.protocol{protocol}.pickle")


def pixels(request: Request) -> NDArray[np.uint8]:
    assert request.type == "predict"
    assert isinstance(request.image, Pixels)
    assert request.image.rgb.dtype == np.uint8
    return request.image.rgb


def predict(image: object, **fields: object) -> bytes:
    return pickle.dumps({"type": "predict", "image": image, **fields})


# Requests of real clients.


def test_three_writers_are_stored() -> None:
    assert len(WRITERS) == 3
    assert [
        any(writer.startswith(f"numpy-{start}") for writer in WRITERS) for start in ("1.24", "1.26", "2.")
    ]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("writer", WRITERS)
class TestRealPickles:
    """Pickles that numpy and Pillow wrote over several years."""

    @pytest.mark.parametrize("name", ["array-256", "pil-256"])
    def test_frames_keep_their_pixels(self, writer: str, protocol: int, name: str) -> None:
        np.testing.assert_array_equal(pixels(decode_request(stored(writer, name, protocol))), blocks())

    @pytest.mark.parametrize(
        "name",
        [
            "array",
            "array-fortran",
            "array-transposed",
            "pil-rgb",
            "pil-rgba",
            "pil-png",
            "pil-bmp",
            "options",
        ],
    )
    def test_other_forms_of_an_image_keep_their_pixels(self, writer: str, protocol: int, name: str) -> None:
        np.testing.assert_array_equal(pixels(decode_request(stored(writer, name, protocol))), small())

    @pytest.mark.parametrize("name", ["array-grey", "pil-l"])
    def test_grey_is_repeated_over_the_channels(self, writer: str, protocol: int, name: str) -> None:
        rgb = pixels(decode_request(stored(writer, name, protocol)))
        np.testing.assert_array_equal(rgb, np.repeat(small()[:, :, :1], 3, axis=2))

    @pytest.mark.parametrize("name", ["p", "jpeg"])
    def test_lossy_forms_come_out_as_their_writer_converts_them(
        self, writer: str, protocol: int, name: str
    ) -> None:
        # Pillow itself cannot load a JPEG image that an older Pillow pickled, so its pixels are stored too.
        expected = pixels(decode_request(stored(writer, f"array-of-{name}", protocol)))
        np.testing.assert_array_equal(
            pixels(decode_request(stored(writer, f"pil-{name}", protocol))), expected
        )

    def test_numpy_scalars_are_options(self, writer: str, protocol: int) -> None:
        request = decode_request(stored(writer, "options", protocol))
        assert (request.seed, request.game, request.timing) == (7, 3, True)

    @pytest.mark.parametrize("name", ["reset", "info"])
    def test_requests_without_an_image(self, writer: str, protocol: int, name: str) -> None:
        assert decode_request(stored(writer, name, protocol)) == Request(name)  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("array-float", r"float32.*\(12, 20, 3\).*send uint8"),
            ("array-objects", "'O8' are not accepted"),
            ("array-records", "structured"),
        ],
    )
    def test_images_that_are_not_taken(self, writer: str, protocol: int, name: str, message: str) -> None:
        with pytest.raises(RequestError, match=message):
            decode_request(stored(writer, name, protocol))


# Requests of this process.


@pytest.mark.parametrize("type_", ["reset", "info"])
def test_options_come_with_any_type(type_: str) -> None:
    options = {"seed": 3, "game": None, "timing": True, "model": "fast", "more": [1]}
    request = decode_request(pickle.dumps({"type": type_, **options}))
    assert request == Request(type_, None, 3, None, True, "fast")  # type: ignore[arg-type]


def test_absent_options_are_unset() -> None:
    request = decode_request(predict(small()))
    assert (request.seed, request.game, request.timing, request.model) == (None, UNSET, False, None)


@pytest.mark.parametrize(
    "request_",
    [
        None,
        5,
        "reset",
        ["reset"],
        (),
        {},
        {"type": None},
        {"type": "Predict"},
        {"type": ["predict"]},
        {"type": b"info"},
    ],
    ids=ascii,
)
def test_what_is_no_request_is_refused(request_: object) -> None:
    with pytest.raises(RequestError, match="type"):
        decode_request(pickle.dumps(request_))


@pytest.mark.parametrize(
    "image",
    [
        None,
        "image",
        b"\x89PNG",
        [[[0, 0, 0]]],
        np.zeros((4, 4, 3), np.int8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4, 3), bool),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((4, 4, 5), np.uint8),
        np.zeros((1, 4, 4, 3), np.uint8),
        np.zeros(3, np.uint8),
        np.zeros((), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((4, 0), np.uint8),
        PIL.Image.new("F", (2, 2)),
        PIL.Image.new("I", (2, 2)),
        PIL.Image.new("I;16", (2, 2)),
        PIL.Image.new("1", (2**15, 2**11)),
        PIL.Image.new("RGB", (0, 2)),
    ],
)
def test_images_of_other_kinds_are_refused_with_advice(image: object) -> None:
    with pytest.raises(ImageError, match="send"):
        decode_request(predict(image))


def test_a_predict_without_an_image_is_refused() -> None:
    with pytest.raises(ImageError, match="needs an image"):
        decode_request(pickle.dumps({"type": "predict"}))


@pytest.mark.parametrize("size", [(3, 2), (-1, -12), (2**40, 2**40), (0, 0), (12, 1), (2, 2)])
def test_a_pil_image_whose_size_does_not_agree_with_its_bytes_is_refused(size: tuple[int, int]) -> None:
    state = pickle.dumps([{}, "RGB", size, None, bytes(11)], 3)[2:-1]
    image = b"cPIL.Image\nImage\n)\x81" + state + b"b"
    body = pickle.dumps({"type": "predict"}, 3)[:-1] + b"X\x05\x00\x00\x00image" + image + b"s."
    with pytest.raises(ImageError, match="do not agree"):
        decode_request(body)


def test_a_short_palette_is_filled_with_black() -> None:
    image = PIL.Image.new("P", (3, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putdata([0, 1, 200])
    assert pixels(decode_request(predict(image))).tolist() == [[[10, 20, 30], [40, 50, 60], [0, 0, 0]]]


def test_a_frame_is_not_copied() -> None:
    message = predict(blocks())
    assert np.shares_memory(pixels(decode_request(message)), np.frombuffer(message, np.uint8))


def new_memory() -> KnownMessages:
    """Return a memory of known messages without any pickle."""
    return KnownMessages(pickle_format._known._image_of)


def outcome(message: bytes, known: KnownMessages) -> Request | str:
    """Return a pickle's request, or its error, after those that `known` has learnt."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(pickle_format, "_known", known)
        try:
            return decode_request(message)
        except RequestError as error:
            return str(error)


def same(one: Request | str, other: Request | str) -> bool:
    if isinstance(one, str) or isinstance(other, str) or one.image is None or other.image is None:
        return one == other
    same_options = replace(one, image=None) == replace(other, image=None)
    return same_options and np.array_equal(pixels(one), pixels(other))


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("as_image", [False, True])
def test_the_next_pickle_of_a_client_is_its_own_request(
    as_image: bool, protocol: int, kind: Callable[[bytes], bytes]
) -> None:
    known = new_memory()
    for number in range(3):
        frame = np.random.default_rng(number).integers(0, 256, (256, 256, 3), np.uint8)
        image = PIL.Image.fromarray(frame) if as_image else frame
        message = kind(pickle.dumps({"type": "predict", "image": image, "seed": 7, "timing": True}, protocol))
        request = outcome(message, known)
        assert isinstance(request, Request)
        assert np.array_equal(pixels(request), frame)
        assert (request.seed, request.timing) == (7, True)


@pytest.mark.parametrize("writer", WRITERS)
def test_a_known_form_is_not_run_again(writer: str) -> None:
    known = new_memory()
    message = stored(writer, "array-256", 5)
    assert known.request(message) is None
    outcome(message, known)
    again = known.request(message)
    assert again is not None
    assert np.array_equal(pixels(again), blocks())
    assert np.shares_memory(pixels(again), np.frombuffer(message, np.uint8))


@settings(max_examples=300)
@given(st.data())
def test_a_pickle_beside_known_ones_is_what_the_machine_makes_of_it(data: st.DataObject) -> None:
    known = new_memory()
    writer, protocol = data.draw(st.sampled_from(WRITERS)), data.draw(st.sampled_from(PROTOCOLS))
    first = stored(writer, data.draw(st.sampled_from(["array-256", "pil-256"])), protocol)
    outcome(first, known)
    message = bytearray(first)
    for _ in range(data.draw(st.integers(1, 3))):
        # Around the frame, or in it.
        around = st.integers(-120, 250).filter(lambda place: -len(message) <= place < len(message))
        place = data.draw(around | st.integers(0, len(message) - 1))
        message[place] = data.draw(st.integers(0, 255))
    changed = bytes(message) + data.draw(st.binary(max_size=2))
    assert same(outcome(changed, known), outcome(changed, new_memory()))


def test_forms_that_come_once_do_not_push_out_those_that_come_again() -> None:
    known = new_memory()
    for seed in range(10):
        outcome(predict(blocks(), seed=seed), known)
    outcome(predict(blocks(), seed=9), known)
    for seed in range(100, 200):
        outcome(predict(blocks(), seed=seed), known)
    assert len(known._forms) == 8
    assert known.request(predict(blocks(), seed=9)) is not None
    assert known.request(predict(blocks(), seed=199)) is not None
    assert known.request(predict(blocks(), seed=150)) is None


def test_a_pickle_with_much_around_its_frame_is_not_outcome() -> None:
    known = new_memory()
    outcome(predict(blocks(), more="x" * 2000), known)
    assert not known._forms


@settings(max_examples=500)
@given(st.data())
def test_mutated_requests_raise_request_errors_only(data: st.DataObject) -> None:
    writer = data.draw(st.sampled_from(WRITERS))
    name = data.draw(st.sampled_from(["array", "pil-p", "pil-rgba", "options", "reset"]))
    message = bytearray(stored(writer, name, data.draw(st.sampled_from(PROTOCOLS))))
    for _ in range(data.draw(st.integers(1, 3))):
        position = data.draw(st.integers(0, min(250, len(message) - 1)))
        message[position] = data.draw(st.integers(0, 255))
    try:
        request = decode_request(bytes(message))
    except RequestError:
        return
    if request.type == "predict":
        assert pixels(request).shape[2:] == (3,)
    else:
        assert request.image is None


# Replies.


def chunk(steps: int = 18) -> ActionChunk:
    sticks = np.linspace(-1, 1, steps * 4, dtype=np.float32).reshape(2, steps, 2)
    return ActionChunk(
        sticks[0], sticks[1], (np.arange(steps * 21).reshape(steps, 21) % 3 == 0).astype(np.float32)
    )


REPLIES = {
    "error": Reply(error="no"),
    "cause": Reply(error="no", cause="busy"),
    "reset": Reply(),
    "info": Reply(info={"ckpt_path": "ng.pt", "selected_game": None, "cfg_scale": 1.0}),
    "chunk": Reply(chunk=chunk()),
    "one step": Reply(chunk=chunk(1)),
    "timing": Reply(chunk=chunk(), timing=Timing(0.12345, 17.5, 18.0)),
}


def check_pred(pred: dict[str, NDArray[np.float32]], expected: ActionChunk) -> None:
    assert list(pred) == ["j_left", "j_right", "buttons"]
    for name, array in pred.items():
        assert type(array) is np.ndarray
        assert array.dtype == np.float32
        assert array.flags.writeable
        np.testing.assert_array_equal(array, getattr(expected, name))


def test_a_chunk_arrives_as_writable_float32_arrays() -> None:
    reply = pickle.loads(encode_reply(REPLIES["chunk"]))
    assert list(reply) == ["status", "pred", "repeat"]
    assert (reply["status"], reply["repeat"]) == ("ok", 1)
    check_pred(reply["pred"], chunk())


@pytest.mark.parametrize("view", ["strided", "float64", "read-only", "big-endian"])
def test_arrays_of_any_layout_are_written_alike(view: str) -> None:
    plain = chunk()
    wide = np.zeros((18, 25), np.float32)
    wide[:, :2] = plain.j_left
    j_left = {
        "strided": wide[:, :2],
        "float64": plain.j_left.astype(np.float64),
        "read-only": np.frombuffer(plain.j_left.tobytes(), np.float32).reshape(18, 2),
        "big-endian": plain.j_left.astype(">f4"),
    }[view]
    odd = ActionChunk(j_left, plain.j_right, plain.buttons)  # type: ignore[arg-type]
    assert encode_reply(Reply(chunk=odd)) == encode_reply(Reply(chunk=plain))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("error", {"status": "error", "message": "no"}),
        ("cause", {"status": "error", "message": "no", "cause": "busy"}),
        ("reset", {"status": "ok"}),
        ("info", {"status": "ok", "info": {"ckpt_path": "ng.pt", "selected_game": None, "cfg_scale": 1.0}}),
    ],
)
def test_other_replies_are_plain_dicts(name: str, expected: dict[str, object]) -> None:
    assert pickle.loads(encode_reply(REPLIES[name])) == expected


def test_timing_is_in_milliseconds() -> None:
    reply = pickle.loads(encode_reply(REPLIES["timing"]))
    assert reply["timing"] == {"decode_ms": 0.123, "infer_ms": 17.5, "total_ms": 18.0}


@pytest.mark.parametrize("name", REPLIES)
def test_replies_name_public_things_only_and_keep_to_protocol_4(name: str) -> None:
    data = encode_reply(REPLIES[name])
    opcodes = list(pickletools.genops(data))
    assert opcodes[0][1] == 4
    assert max(opcode.proto for opcode, _, _ in opcodes) <= 4
    words = {argument for _, argument, _ in opcodes if isinstance(argument, str)}
    assert {word for word in words if word.startswith("numpy")} <= {"numpy"}
    assert b"_core" not in data


# Those that this Python has a wheel for; the newest one is the tests' own.
OLD_NUMPY = [
    version
    for version, last_python in (("1.24.4", (3, 11)), ("1.26.4", (3, 12)))
    if sys.version_info[:2] <= last_python
]

LOAD_BACK = """
import pickle, sys
import numpy as np
assert np.__version__ == sys.argv[1], np.__version__
with open(sys.argv[2], "rb") as file:
    replies = pickle.load(file)
for data in replies.values():
    pickle.loads(data)
reply = pickle.loads(replies["timing"])
sticks = np.linspace(-1, 1, 72, dtype=np.float32).reshape(2, 18, 2)
buttons = (np.arange(378).reshape(18, 21) % 3 == 0).astype(np.float32)
for name, expected in (("j_left", sticks[0]), ("j_right", sticks[1]), ("buttons", buttons)):
    array = reply["pred"][name]
    assert type(array) is np.ndarray and array.dtype == np.float32 and array.flags.writeable, name
    assert array.shape == expected.shape and (array == expected).all(), name
"""


@pytest.mark.slow
@pytest.mark.parametrize("version", OLD_NUMPY)
def test_replies_load_under_the_numpy_of_clients(version: str, tmp_path: Path) -> None:
    python = fresh_environment(tmp_path / "venv", "--only-binary=:all:", f"numpy=={version}")
    replies = tmp_path / "replies.pickle"
    replies.write_bytes(pickle.dumps({name: encode_reply(reply) for name, reply in REPLIES.items()}, 4))
    subprocess.run([python, "-c", LOAD_BACK, version, str(replies)], check=True, timeout=60)
