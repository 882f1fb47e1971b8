"""Port 5556 for the deployed BizHawk agent and other JSON clients: what they send, and what they read."""

import json
import socket
import struct
from collections.abc import Iterator

import numpy as np
import pytest

from tests.chain.direct import DirectCalls
from tests.chain.replies import assert_same_decimals
from tests.noise import seeded_noise
from tests.pictures import Picture, image_file, picture, resized_by_cv2
from tests.stack import JsonClient, Stack
from tests.stand_ins.bizhawk_agent import ONE_SEGMENT_BYTES, BizHawkAgent

HORIZON, CONTEXT = 18, 3


@pytest.fixture
def agent(context_stack: Stack) -> Iterator[BizHawkAgent]:
    with BizHawkAgent(context_stack.tcp_port) as agent:
        yield agent


@pytest.fixture
def client(tiny_stack: Stack) -> Iterator[JsonClient]:
    with JsonClient(tiny_stack.tcp_port) as client:
        yield client


def bmp(rgb: Picture, *, depth: int, top_down: bool, offset: int = 54, with_size: bool = True) -> bytes:
    """The picture as a BMP file, written by hand from the format's description."""
    height, width = rgb.shape[:2]
    pixels = rgb[:, :, ::-1] if top_down else rgb[::-1, :, ::-1]
    if depth == 32:
        pixels = np.concatenate([pixels, np.full((height, width, 1), 200, np.uint8)], axis=2)
    row_bytes = -(-width * depth // 32) * 4
    body = b"".join(row.tobytes().ljust(row_bytes, b"\xee") for row in pixels)
    size = offset + len(body)
    info = (
        40,
        width,
        -height if top_down else height,
        1,
        depth,
        0,
        len(body) if with_size else 0,
        2835,
        2835,
        0,
        0,
    )
    head = struct.pack("<2sIHHI", b"BM", size, 0, 0, offset) + struct.pack("<IiiHHIIiiII", *info)
    return head.ljust(offset, b"\xdd") + body


@pytest.mark.parametrize(
    ("height", "width", "resize_mode"), [(240, 256, "crop"), (224, 256, "pad"), (448, 512, "pad")]
)
def test_screenshot_becomes_the_models_actions(
    context_stack: Stack, agent: BizHawkAgent, height: int, width: int, resize_mode: str
) -> None:
    screen = picture(1, height, width)
    with DirectCalls(context_stack.triton_grpc_port) as calls:
        expected = calls.predict(
            [resized_by_cv2(screen, resize_mode)], seeded_noise(1, HORIZON), context=CONTEXT
        )
    buttons, j_left = agent.screenshot(image_file(screen), resize_mode, seed=1)
    assert buttons == expected["buttons"].tolist()
    np.testing.assert_allclose(j_left, expected["j_left"], rtol=0, atol=0.0005 + 1e-6)


def test_reply_of_eighteen_steps_is_whole_after_one_read_and_fits_one_segment(agent: BizHawkAgent) -> None:
    png = image_file(picture(2, 240, 256))
    for seed in range(40):
        reply = agent.send({"type": "predict", "len": len(png), "resize_mode": "crop", "seed": seed}, png)
        assert reply.endswith(b"\n")
        assert len(reply) <= ONE_SEGMENT_BYTES
        assert len(json.loads(reply)["pred"]["buttons"]) == HORIZON


def test_raw_frame_without_a_length_is_answered(agent: BizHawkAgent) -> None:
    assert agent.send({"type": "predict"}, picture(3).tobytes()).startswith(b'{"status":"ok"')


def test_raw_frame_that_begins_like_a_bmp_file_is_answered(client: JsonClient, tiny_stack: Stack) -> None:
    frame = picture(4)
    frame[0, 0, :2] = 66, 77
    with DirectCalls(tiny_stack.triton_grpc_port) as calls:
        expected = calls.predict([frame], seeded_noise(4, 16))
    assert_same_decimals(client.request({"type": "predict", "seed": 4}, frame.tobytes()), expected)


@pytest.mark.parametrize(
    ("depth", "top_down", "offset"),
    [(24, False, 54), (32, True, 54), (24, True, 54), (32, False, 54), (24, False, 122), (32, True, 138)],
)
@pytest.mark.parametrize(("height", "width"), [(224, 256), (120, 161), (256, 256)])
@pytest.mark.parametrize("with_length", [False, True])
def test_bmp_file_is_the_picture_it_holds(
    client: JsonClient,
    tiny_stack: Stack,
    depth: int,
    top_down: bool,
    offset: int,
    height: int,
    width: int,
    with_length: bool,
) -> None:
    screen = picture(5, height, width)
    file = bmp(screen, depth=depth, top_down=top_down, offset=offset, with_size=not top_down)
    with DirectCalls(tiny_stack.triton_grpc_port) as calls:
        expected = calls.predict([resized_by_cv2(screen, "pad")], seeded_noise(5, 16))
    header = {"type": "predict", "seed": 5} | ({"len": len(file)} if with_length else {})
    assert_same_decimals(client.request(header, file), expected)


def test_one_connection_carries_requests_of_every_kind(client: JsonClient) -> None:
    png = image_file(picture(6, 240, 256))
    frame = picture(6)
    requests: list[tuple[dict[str, object], bytes]] = [
        ({"type": "predict", "len": len(png), "resize_mode": "crop"}, png),
        ({"type": "info"}, b""),
        ({"type": "predict"}, frame.tobytes()),
        ({"type": "reset"}, b""),
        ({"type": "predict"}, bmp(frame, depth=24, top_down=False)),
        ({"type": "predict", "len": frame.size}, frame.tobytes()),
    ]
    replies = [client.request(header, image) for header, image in requests * 2]
    assert [reply["status"] for reply in replies] == ["ok"] * 12


def test_pipelined_requests_are_answered_in_their_order(client: JsonClient) -> None:
    screens = [picture(number, 600, 800) if number % 2 else picture(number) for number in range(6)]
    files = [image_file(screen) for screen in screens]
    headers = [{"type": "predict", "len": len(file), "seed": number} for number, file in enumerate(files)]
    alone = [client.request(header, file) for header, file in zip(headers, files, strict=True)]
    for header, file in zip(headers, files, strict=True):
        client.send(header, file)
    together = [json.loads(client.line()) for _ in files]
    for reply, expected in zip(together, alone, strict=True):
        np.testing.assert_allclose(reply["pred"]["j_left"], expected["pred"]["j_left"], rtol=0, atol=1.1e-3)


def test_timing_tells_where_the_time_went(client: JsonClient) -> None:
    timing = client.request({"type": "predict", "timing": True}, picture(7).tobytes())["timing"]
    assert timing["total_ms"] >= timing["infer_ms"] > 0
    assert timing["decode_ms"] >= 0


@pytest.mark.parametrize(
    "header",
    [
        b"no json",
        b"[]",
        b"null",
        b'{"type": "dance"}',
        b'{"len": 5}',
        b'{"type": "predict", "len": 0}',
        b"\xff\xfe",
    ],
)
def test_bad_header_gets_an_error_line_and_then_the_end(client: JsonClient, header: bytes) -> None:
    client.socket.sendall(header + b"\n" + bytes(50_000))
    assert json.loads(client.line())["status"] == "error"
    assert client.line() == b""


def test_bad_image_with_a_length_leaves_the_stream_in_step(client: JsonClient) -> None:
    reply = client.request({"type": "predict", "len": 1000}, bytes(1000))
    assert reply["status"] == "error"
    assert client.request({"type": "predict"}, picture(8).tobytes())["status"] == "ok"


def test_unknown_resize_mode_falls_back_to_pad(client: JsonClient) -> None:
    png = image_file(picture(9, 100, 200))
    header = {"type": "predict", "len": len(png), "seed": 1}
    padded = client.request(header | {"resize_mode": "pad"}, png)
    assert client.request(header | {"resize_mode": "zoom"}, png) == padded


@pytest.mark.parametrize(
    "sent",
    [b'{"type": "pre', b'{"type": "predict"}\n' + bytes(1000), b'{"type": "predict", "len": 9}\n1234'],
    ids=["header", "raw frame", "image"],
)
def test_stream_that_ends_inside_a_request_gets_its_error_line(client: JsonClient, sent: bytes) -> None:
    client.socket.sendall(sent)
    client.socket.shutdown(socket.SHUT_WR)
    assert json.loads(client.line())["status"] == "error"
    assert client.line() == b""


def test_stream_that_ends_after_a_request_gets_its_reply(client: JsonClient) -> None:
    client.send({"type": "predict"}, picture(1).tobytes())
    client.socket.shutdown(socket.SHUT_WR)
    assert json.loads(client.line())["status"] == "ok"
    assert client.line() == b""
