"""Port 5555 with the bytes of real clients: a REQ socket, and pickles that several numpy and Pillow wrote."""

import pickle
import pickletools
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq

from tests.chain.replies import assert_same_bits
from tests.golden import checkpoint_path
from tests.paths import PICKLES
from tests.pictures import picture
from tests.stack import PickleClient, Stack

ARCHIVES = sorted(PICKLES.glob("*.zip"))
PROTOCOLS = range(2, 6)
ANSWERED = [
    *("array-256", "array", "array-fortran", "array-transposed", "array-grey"),
    *("pil-256", "pil-rgb", "pil-rgba", "pil-l", "pil-p", "pil-png", "pil-bmp", "pil-jpeg", "pil-1"),
]
REFUSED = ["array-float", "array-objects", "array-records"]
SHAPES = {"j_left": (16, 2), "j_right": (16, 2), "buttons": (16, 21)}

INFO_TYPES: dict[str, type | tuple[type, ...]] = {
    "ckpt_path": str,
    "selected_game": (str, type(None)),
    "old_layout": bool,
    "cfg_scale": float,
    "context_length": int,
    "action_interleaving": bool,
    "is_flowmatching": bool,
    "action_downsample_ratio": int,
}

by_archive = pytest.mark.parametrize("archive", ARCHIVES, ids=lambda path: path.stem)


def payloads(archive: Path, name: str) -> Iterator[bytes]:
    """The message as each pickle protocol writes it."""
    with zipfile.ZipFile(archive) as file:
        for protocol in PROTOCOLS:
            yield file.read(f"{name}.protocol{protocol}.pickle")


def test_archives_of_three_numpy_lines_are_there() -> None:
    lines = {path.stem.split("-")[1].rpartition(".")[0] for path in ARCHIVES}
    assert {"1.24", "1.26"} < lines
    assert any(line.startswith("2.") for line in lines)


@by_archive
@pytest.mark.parametrize("name", ANSWERED)
def test_picture_gets_a_chunk_of_actions(tiny_stack: Stack, archive: Path, name: str) -> None:
    with PickleClient(tiny_stack.zmq_port) as client:
        for payload in payloads(archive, name):
            reply = client.send_bytes(payload)
            assert reply["status"] == "ok", reply
            assert reply["repeat"] == 1
            assert {part: array.shape for part, array in reply["pred"].items()} == SHAPES
            assert {array.dtype for array in reply["pred"].values()} == {np.dtype(np.float32)}


@by_archive
@pytest.mark.parametrize("name", REFUSED)
def test_array_that_is_no_picture_gets_an_error(tiny_stack: Stack, archive: Path, name: str) -> None:
    with PickleClient(tiny_stack.zmq_port) as client:
        for payload in payloads(archive, name):
            reply = client.send_bytes(payload)
            assert reply["status"] == "error"
            assert reply["message"]


@by_archive
def test_options_written_as_numpy_scalars_are_taken(context_stack: Stack, archive: Path) -> None:
    rows, columns = np.mgrid[0:12, 0:20]
    small = np.stack([columns * 12, rows * 20, columns * 12 + rows * 20], axis=2).astype(np.uint8)
    with PickleClient(context_stack.zmq_port) as client:
        plain = client.request(type="predict", image=small, seed=7, game=3)
        for payload in payloads(archive, "options"):
            client.request(type="reset")
            reply = client.send_bytes(payload)
            assert set(reply["timing"]) == {"decode_ms", "infer_ms", "total_ms"}
            assert_same_bits(reply, plain["pred"])


@by_archive
def test_reset_is_confirmed(tiny_stack: Stack, archive: Path) -> None:
    with PickleClient(tiny_stack.zmq_port) as client:
        assert [client.send_bytes(payload) for payload in payloads(archive, "reset")] == [
            {"status": "ok"}
        ] * 4


@by_archive
def test_info_has_every_field_that_clients_read(tiny_stack: Stack, archive: Path) -> None:
    with PickleClient(tiny_stack.zmq_port) as client:
        for payload in payloads(archive, "info"):
            reply = client.send_bytes(payload)
            assert reply["status"] == "ok"
            wrong = {
                key for key, kind in INFO_TYPES.items() if not isinstance(reply["info"].get(key, ...), kind)
            }
            assert wrong == set()


def test_info_tells_the_checkpoint(tiny_stack: Stack) -> None:
    with PickleClient(tiny_stack.zmq_port) as client:
        info = client.request(type="info")["info"]
    # These two are what play.py reads.
    assert Path(info["ckpt_path"]).stem == checkpoint_path("tiny").stem
    assert info["action_downsample_ratio"] == 1


def test_replies_name_nothing_that_an_old_numpy_lacks(tiny_stack: Stack) -> None:
    request = pickle.dumps({"type": "predict", "image": picture(1)})
    with PickleClient(tiny_stack.zmq_port) as client:
        reply = client.exchange(request)
    operations = list(pickletools.genops(reply))
    assert max(operation.proto for operation, _, _ in operations) <= 4
    texts = [argument for _, argument, _ in operations if isinstance(argument, str)]
    assert [text for text in texts if text.startswith("numpy.") or text == "_core"] == []


def test_reply_arrays_can_be_written_to(tiny_stack: Stack) -> None:
    with PickleClient(tiny_stack.zmq_port) as client:
        buttons = client.request(type="predict", image=picture(1))["pred"]["buttons"]
    buttons[0, 0] = 1.0
    assert buttons[0, 0] == 1.0


@pytest.mark.parametrize(
    "request_",
    [{"type": "save"}, {}, {"type": ["predict"]}, {"type": "predict"}, ["predict"], "predict", None, 5],
    ids=repr,
)
def test_socket_is_usable_after_an_invalid_request(tiny_stack: Stack, request_: object) -> None:
    with PickleClient(tiny_stack.zmq_port) as client:
        reply = client.send_bytes(pickle.dumps(request_))
        assert reply["status"] == "error"
        assert isinstance(reply["message"], str)
        assert client.request(type="predict", image=picture(1))["status"] == "ok"


@pytest.fixture
def dealer() -> Iterator[zmq.Socket[bytes]]:
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.linger = 0
        socket.rcvtimeo = 30_000
        yield socket


def pipeline(dealer: "zmq.Socket[bytes]", requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Send all requests, then receive as many replies."""
    for request in requests:
        dealer.send_multipart([b"", pickle.dumps(request)])
    envelopes, replies = zip(*(dealer.recv_multipart() for _ in requests), strict=True)
    assert set(envelopes) == {b""}
    return [pickle.loads(reply) for reply in replies]


def test_pipelined_requests_are_answered_in_their_order(
    tiny_stack: Stack, dealer: "zmq.Socket[bytes]"
) -> None:
    dealer.connect(f"tcp://127.0.0.1:{tiny_stack.zmq_port}")
    # Small and large pictures take different times to decode; the bad one takes none.
    requests: list[dict[str, Any]] = []
    for number in range(4):
        requests += [
            {"type": "predict", "image": picture(number, 1500, 2000), "seed": number},
            {"type": "predict", "image": picture(number), "seed": number},
            {"type": "nonsense"},
        ]
    with PickleClient(tiny_stack.zmq_port) as client:
        alone = [client.request(**request) for request in requests]
    replies = pipeline(dealer, requests)
    assert [reply["status"] for reply in replies] == [reply["status"] for reply in alone]
    for reply, expected in zip(replies, alone, strict=True):
        if reply["status"] == "ok":
            np.testing.assert_allclose(reply["pred"]["j_left"], expected["pred"]["j_left"], rtol=0, atol=1e-4)


def test_pipelined_frames_enter_the_context_in_their_order(
    context_stack: Stack, dealer: "zmq.Socket[bytes]"
) -> None:
    dealer.connect(f"tcp://127.0.0.1:{context_stack.zmq_port}")
    # The large one is decoded and resized beside the event loop and must still come second.
    pictures = [picture(1), picture(2, 1500, 2000), picture(3)]
    requests = [{"type": "predict", "image": image, "seed": 5} for image in pictures]
    with PickleClient(context_stack.zmq_port) as client:
        in_turn = [client.request(**request) for request in requests]
    replies = pipeline(dealer, requests)
    for reply, expected in zip(replies, in_turn, strict=True):
        np.testing.assert_allclose(reply["pred"]["j_left"], expected["pred"]["j_left"], rtol=0, atol=1e-4)
