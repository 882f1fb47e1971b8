"""The ways to a model: gRPC straight to Triton, and what the gateway's ports speak.

A way is a context manager that connects and yields a function: it sends one frame and waits for the actions.
"""

import io
import json
import pickle
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import grpc
import msgpack
import numpy as np
import PIL.Image
import tritonclient.grpc
import zmq
from tritonclient.grpc import service_pb2, service_pb2_grpc

from contract.gamepad import ACTION_WIDTH
from contract.tensors import FRAME_SHAPE, OUTPUT_NAMES, Tensor, input_tensors
from gateway.triton.facts import ModelFacts, facts_from_config

HOST = "127.0.0.1"
TIMEOUT_S = 30

# Kinds of WebSocket messages.
_TEXT = 1
_BINARY = 2


@dataclass(frozen=True)
class Endpoints:
    """Where the clients find the model; `triton` is the port of its gRPC service."""

    model: str
    triton: int
    zmq: int
    tcp: int
    web: int = 0


class LoadError(Exception):
    """A client did not get its actions."""


Ask = Callable[[], None]
Connect = Callable[[Endpoints], AbstractContextManager[Ask]]


@contextmanager
def direct_grpc(endpoints: Endpoints) -> Iterator[Ask]:
    """Send the gateway's inputs through Triton's own client."""
    with tritonclient.grpc.InferenceServerClient(f"{HOST}:{endpoints.triton}") as client:
        facts = facts_from_config(client.get_model_config(endpoints.model).config)
        frames = _frames(facts)
        random = np.random.default_rng()
        outputs = [tritonclient.grpc.InferRequestedOutput(name) for name in OUTPUT_NAMES]

        def ask() -> None:
            noise = random.standard_normal((1, facts.horizon, ACTION_WIDTH), dtype=np.float32)
            inputs = []
            for tensor, array in _with_arrays(facts, frames, noise):
                inputs.append(tritonclient.grpc.InferInput(tensor.name, array.shape, tensor.data_type))
                inputs[-1].set_data_from_numpy(array)
            result = client.infer(endpoints.model, inputs, outputs=outputs, client_timeout=TIMEOUT_S)
            if result.as_numpy("buttons").shape[:2] != (1, facts.horizon):
                raise LoadError("Triton's reply has no buttons")

        yield ask


@contextmanager
def prebuilt_grpc(endpoints: Endpoints) -> Iterator[Ask]:
    """Send one request again and again: gRPC without a client's own work."""
    options = [("grpc.max_send_message_length", -1), ("grpc.enable_http_proxy", 0)]
    with grpc.insecure_channel(f"{HOST}:{endpoints.triton}", options=options) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        config = stub.ModelConfig(service_pb2.ModelConfigRequest(name=endpoints.model)).config
        facts = facts_from_config(config)
        noise = np.random.default_rng(0).standard_normal((1, facts.horizon, ACTION_WIDTH), dtype=np.float32)
        request = service_pb2.ModelInferRequest(model_name=endpoints.model)
        for tensor, array in _with_arrays(facts, _frames(facts), noise):
            request.inputs.add(name=tensor.name, datatype=tensor.data_type, shape=array.shape)
            request.raw_input_contents.append(array.tobytes())
        for name in OUTPUT_NAMES:
            request.outputs.add(name=name)

        def ask() -> None:
            response = stub.ModelInfer(request, timeout=TIMEOUT_S)
            if len(response.raw_output_contents) != len(OUTPUT_NAMES):
                raise LoadError("Triton's reply has not all outputs")

        yield ask


@contextmanager
def zmq_pickle(
    endpoints: Endpoints, context: "zmq.Context[zmq.Socket[bytes]] | None" = None
) -> Iterator[Ask]:
    """Ask as the deployed Python client does: a REQ socket, the frame as a numpy array.

    Args:
        endpoints: the gateway's.
        context: one that many sockets share, with its threads; else a client has its own.
    """
    frame = random_frame()
    with request_socket(endpoints.zmq, context) as client:

        def ask() -> None:
            client.send(pickle.dumps({"type": "predict", "image": frame}))
            _require_ok(pickle.loads(client.recv()))

        yield ask


@contextmanager
def zmq_msgpack(endpoints: Endpoints) -> Iterator[Ask]:
    """Ask as a new Python client does: a REQ socket, msgpack with the frame's bytes."""
    image = {"shape": list(FRAME_SHAPE), "dtype": "uint8", "data": random_frame().tobytes()}
    with request_socket(endpoints.zmq) as client:

        def ask() -> None:
            client.send(msgpack.packb({"type": "predict", "image": image}))
            _require_ok(_unpacked(client.recv()))

        yield ask


@contextmanager
def tcp_json(endpoints: Endpoints) -> Iterator[Ask]:
    """Ask in JSON with a raw frame."""
    message = predict_line()
    with connected(endpoints.tcp) as client, client.makefile("rb") as replies:

        def ask() -> None:
            client.sendall(message)
            _require_ok(json.loads(replies.readline()))

        yield ask


@contextmanager
def tcp_bizhawk(endpoints: Endpoints) -> Iterator[Ask]:
    """Ask as BizHawk's built-in sockets do: a PNG screenshot behind its length."""
    screenshot = png(240, 256)
    message = b"%d " % len(screenshot) + screenshot
    with connected(endpoints.tcp) as client, client.makefile("rb") as replies:

        def ask() -> None:
            client.sendall(message)
            _require_ok(json.loads(read_framed(replies)))

        yield ask


@contextmanager
def web_play(endpoints: Endpoints) -> Iterator[Ask]:
    """Ask as a browser does: a line of JSON, and a canvas' pixels as they are."""
    frame = random_frame()
    rgba = np.concatenate([frame, np.full_like(frame[:, :, :1], 255)], axis=2)
    message = _masked(_TEXT, b'{"type":"predict","format":"rgba"}') + _masked(_BINARY, rgba.tobytes())
    with _websocket(endpoints.web, "/play") as (client, replies):

        def ask() -> None:
            client.sendall(message)
            _require_ok(json.loads(_read_message(replies)[1]))

        yield ask


@contextmanager
def web_openpi(endpoints: Endpoints) -> Iterator[Ask]:
    """Ask as a client of openpi's protocol does: an observation with a picture and nothing else."""
    frame = random_frame()
    image = {b"__ndarray__": True, b"data": frame.tobytes(), b"dtype": "|u1", b"shape": frame.shape}
    message = _masked(_BINARY, msgpack.packb({"image": image}))
    with _websocket(endpoints.web, "/") as (client, replies):
        _read_message(replies)

        def ask() -> None:
            client.sendall(message)
            opcode, reply = _read_message(replies)
            if opcode != _BINARY or "actions" not in msgpack.unpackb(reply):
                raise LoadError(reply.decode(errors="replace"))

        yield ask


def random_frame() -> Any:  # noqa: ANN401 - an array
    """Return a frame (256, 256, 3), uint8, of random pixels."""
    return np.random.default_rng(0).integers(0, 256, FRAME_SHAPE, np.uint8)


def predict_pickle() -> bytes:
    """Return a predict of the ZeroMQ port, with a random frame."""
    return pickle.dumps({"type": "predict", "image": random_frame()})


def predict_line() -> bytes:
    """Return a predict of the TCP port, with a random raw frame."""
    return b'{"type": "predict"}\n' + bytes(random_frame())


def png(height: int, width: int) -> bytes:
    """Return a picture with areas of one colour, as games have them, as a PNG file."""
    blocks = np.random.default_rng(0).integers(0, 256, (-(-height // 16), -(-width // 16), 3), np.uint8)
    picture = blocks.repeat(16, axis=0).repeat(16, axis=1)[:height, :width]
    file = io.BytesIO()
    PIL.Image.fromarray(picture).save(file, "PNG")
    return file.getvalue()


def read_framed(stream: io.BufferedIOBase) -> bytes:
    """Return the next payload of BizHawk's framing: its length in decimal, a space, and its bytes."""
    digits = b""
    while (byte := stream.read(1)) != b" ":
        if not byte.isdigit():
            raise LoadError(f"the gateway's reply begins with {digits + byte!r}, not with its length")
        digits += byte
    return stream.read(int(digits))


@contextmanager
def connected(port: int) -> Iterator[socket.socket]:
    """Yield a TCP connection that sends at once what it is given."""
    with socket.create_connection((HOST, port), timeout=TIMEOUT_S) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield client


@contextmanager
def request_socket(
    port: int, context: "zmq.Context[zmq.Socket[bytes]] | None" = None
) -> Iterator["zmq.Socket[bytes]"]:
    """Yield a REQ socket of the gateway's ZeroMQ port, in a context of its own unless one is given."""
    with nullcontext(context) if context else zmq.Context() as own, own.socket(zmq.REQ) as client:
        client.linger = 0
        client.rcvtimeo = TIMEOUT_S * 1000
        client.connect(f"tcp://{HOST}:{port}")
        yield client


@contextmanager
def _websocket(port: int, path: str) -> Iterator[tuple[socket.socket, io.BufferedIOBase]]:
    """Yield a WebSocket that has shaken hands."""
    with connected(port) as client, client.makefile("rb") as replies:
        client.sendall(
            f"GET {path} HTTP/1.1\r\nHost: {HOST}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
        )
        if b" 101 " not in replies.readline():
            raise LoadError("the gateway opened no WebSocket")
        while replies.readline() != b"\r\n":
            pass
        yield client, replies


def _masked(opcode: int, data: bytes) -> bytes:
    """Return a client's message as one frame; it is masked once, so that a client's own work is small."""
    mask = np.random.default_rng(1).integers(0, 256, 4, np.uint8)
    masked = np.frombuffer(data, np.uint8) ^ np.resize(mask, len(data))
    length = bytes((0x80 | len(data),)) if len(data) < 126 else b"\xff" + len(data).to_bytes(8)
    return bytes((0x80 | opcode,)) + length + mask.tobytes() + masked.tobytes()


def _read_message(stream: io.BufferedIOBase) -> tuple[int, bytes]:
    """Return the opcode and the data of the gateway's next message, which is one frame."""
    first, length = stream.read(2)
    if length > 125:
        length = int.from_bytes(stream.read(2 if length == 126 else 8))
    return first & 0xF, stream.read(length)


def _frames(facts: ModelFacts) -> Any:  # noqa: ANN401 - an array
    """Return as many random frames as the model sees, with the batch dimension."""
    shape = (1, facts.context_length, *FRAME_SHAPE)
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def _with_arrays(facts: ModelFacts, frames: Any, noise: Any) -> Iterator[tuple[Tensor, Any]]:  # noqa: ANN401 - arrays
    """Return the model's inputs, each with its array."""
    frame_count, game_id = np.array([[facts.context_length]]), np.zeros((1, 1), np.int64)
    tensors = input_tensors(facts.horizon, facts.context_length, conditioning=facts.conditioning)
    previous, weight = np.zeros_like(noise), np.zeros((1, facts.horizon), np.float32)
    # Without chunk conditioning, a model has no use for the last two.
    return zip(tensors, (frames, frame_count, game_id, noise, previous, weight), strict=False)


def _unpacked(reply: bytes) -> dict[str, Any]:
    try:
        unpacked: dict[str, Any] = msgpack.unpackb(reply)
    except ValueError:  # a gateway that knows no msgpack answers with a pickle
        unpacked = {"status": "error", "message": f"the gateway's reply is not msgpack: {reply[:20]!r}"}
    return unpacked


def _require_ok(reply: dict[str, Any]) -> None:
    if reply["status"] != "ok":
        raise LoadError(reply["message"])
