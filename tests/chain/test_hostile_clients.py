"""Hostile clients on both ports: each is refused with a reply, and the players beside them notice nothing."""

import json
import pickle
import random
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgpack
import pytest
import zmq

from tests.black_frame import PREDICT
from tests.chain.replies import assert_close
from tests.patience import WITHIN_S
from tests.pictures import image_file, picture
from tests.stack import JsonClient, PickleClient, Stack, wait_until

TURNS = 3
# While it serves a hostile client's frame too, the batch is another, and so are the last bits.
ZMQ_TOLERANCE, TCP_TOLERANCE = 1e-4, 1e-4 + 0.0005


class Player(threading.Thread):
    """A well-behaved player: the same few requests again and again, until `leave` is called."""

    def __init__(
        self, ask: Callable[[int], dict[str, Any]], alone: list[dict[str, Any]], tolerance: float
    ) -> None:
        super().__init__(daemon=True)
        self._ask = ask
        self._alone = alone
        self._tolerance = tolerance
        self._leaving = threading.Event()
        self.replies = 0
        self.problem: BaseException | None = None

    def run(self) -> None:
        try:
            while not self._leaving.is_set():
                turn = self.replies % TURNS
                assert_close(self._ask(turn), self._alone[turn]["pred"], self._tolerance)
                self.replies += 1
        except BaseException as problem:
            self.problem = problem

    def more_replies_or_a_problem(self, count: int) -> Callable[[], bool]:
        """Whether `count` more replies have come, to be asked later."""
        enough = self.replies + count
        return lambda: self.replies >= enough or self.problem is not None

    def leave(self) -> None:
        """Stop playing; raise what went wrong."""
        self._leaving.set()
        self.join(WITHIN_S)
        if self.problem is not None:
            raise self.problem


@pytest.fixture(scope="module")
def players(tiny_stack: Stack) -> Iterator[list[Player]]:
    """A player on each port, all through this module's tests."""
    with PickleClient(tiny_stack.zmq_port) as pickles, JsonClient(tiny_stack.tcp_port, 30) as lines:

        def by_zmq(turn: int) -> dict[str, Any]:
            return pickles.request(type="predict", image=picture(turn), seed=turn)

        def by_tcp(turn: int) -> dict[str, Any]:
            return lines.request({"type": "predict", "seed": turn}, picture(turn).tobytes())

        alone = [by_zmq(turn) for turn in range(TURNS)]
        playing = [Player(by_zmq, alone, ZMQ_TOLERANCE), Player(by_tcp, alone, TCP_TOLERANCE)]
        for player in playing:
            player.start()
        yield playing
        for player in playing:
            player.leave()


@pytest.fixture(autouse=True)
def undisturbed(players: list[Player]) -> Iterator[None]:
    """Around each test: both players get right replies, during it and after it."""
    before = [player.more_replies_or_a_problem(2) for player in players]
    yield
    after = [player.more_replies_or_a_problem(2) for player in players]
    for condition in (*before, *after):
        wait_until(condition, "the players get replies")
    assert [player.problem for player in players] == [None, None]


@contextmanager
def raw_connection(port: int) -> Iterator[socket.socket]:
    """A connection from an address of its own: one address may have half of all requests, and no more."""
    with socket.create_connection(
        ("127.0.0.1", port), timeout=WITHIN_S, source_address=("127.0.0.2", 0)
    ) as connection:
        yield connection


class Call:
    """Pickles as a call of any function: what unpickling would run."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self._call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self._call


def code_pickles(touched: Path) -> dict[str, bytes]:
    """Pickles that would create a file, by several ways to code execution."""
    import os  # noqa: PLC0415 - named here, where its functions are pickled
    import subprocess  # noqa: PLC0415

    text = f"open({str(touched)!r}, 'w')"
    shell = f"touch {touched}"
    return {
        "os.system": pickle.dumps(Call(os.system, shell)),
        "inside a request": pickle.dumps({"type": "predict", "image": Call(os.system, shell)}),
        "as a key": pickle.dumps({Call(os.system, shell): 1}),
        "exec": pickle.dumps(Call(exec, text)),
        "eval": pickle.dumps({"type": Call(eval, text)}),
        "subprocess": pickle.dumps(
            {"type": "predict", "image": Call(subprocess.check_output, ["touch", str(touched)])}
        ),
        "open": pickle.dumps(Call(open, str(touched), "w")),
        "protocol 0": f"cposix\nsystem\n(S'{shell}'\ntR.".encode(),
        "INST": f"(S'{shell}'\nios\nsystem\n.".encode(),
        "through numpy": b"cnumpy\nmemmap\n(S'"
        + str(touched).encode()
        + b"'\nS'uint8'\nS'w+'\nI0\n(I4\nttR.",
        "through an attribute": b"\x80\x04\x8c\x05numpy\x8c\x10ndarray.__init__\x93.",
        "builtins getattr": b"cbuiltins\ngetattr\n(cnumpy\nndarray\nS'tofile'\ntR.",
        "extension registry": b"\x80\x02\x82\x01.",
        "persistent id": b"\x80\x02U\x02idQ.",
    }


CODE_NAMES = list(code_pickles(Path("unused")))


@pytest.mark.parametrize("name", CODE_NAMES)
def test_pickle_that_runs_code_is_refused_and_does_not_run(
    tiny_stack: Stack, tmp_path: Path, name: str
) -> None:
    touched = tmp_path / "touched"
    with PickleClient(tiny_stack.zmq_port) as client:
        reply = client.send_bytes(code_pickles(touched)[name])
    assert reply["status"] == "error"
    assert not touched.exists()


def test_torn_pickles_each_get_an_error(tiny_stack: Stack) -> None:
    whole = pickle.dumps({"type": "predict", "image": picture(0)})
    lengths = [0, 1, 2, 3, 10, 50, 100, 150, 1000, len(whole) // 2, len(whole) - 1]
    with PickleClient(tiny_stack.zmq_port) as client:
        replies = [client.send_bytes(whole[:length]) for length in lengths]
    assert [reply["status"] for reply in replies] == ["error"] * len(lengths)


def test_random_bytes_each_get_an_error_on_the_zmq_port(tiny_stack: Stack) -> None:
    rng = random.Random(1)
    with PickleClient(tiny_stack.zmq_port) as client:
        replies = [client.exchange(rng.randbytes(rng.randrange(1, 3000))) for _ in range(200)]
    # Some happen to begin as msgpack does, and so do their replies.
    loaded = [pickle.loads(reply) if reply[0] == 0x80 else msgpack.unpackb(reply) for reply in replies]
    assert [reply["status"] for reply in loaded] == ["error"] * 200


def test_pickles_with_flipped_bytes_each_get_a_reply(tiny_stack: Stack) -> None:
    rng = random.Random(2)
    whole = pickle.dumps({"type": "predict", "image": picture(0, 8, 8), "seed": 1, "game": None})
    with PickleClient(tiny_stack.zmq_port) as client:
        for _ in range(100):
            torn = bytearray(whole)
            torn[rng.randrange(len(torn))] = rng.randrange(256)
            assert client.send_bytes(bytes(torn))["status"] in ("ok", "error")


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b"x.", id="huge bytes"),
        pytest.param(b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b"x.", id="huge bytearray"),
        pytest.param(b"\x80\x04\x95" + struct.pack("<Q", 2**60) + b"N.", id="huge frame"),
        pytest.param(b"\x80\x04" + b"]" * 2_000_000 + b".", id="many lists"),
        pytest.param(b"\x80\x04" + b"(" * 100_000 + b"t" * 100_000 + b".", id="deep tuples"),
        pytest.param(b"\x80\x04]\x94" + b"(h\x00h\x00e0" * 100_000 + b".", id="a list within itself"),
        pytest.param(
            b"\x80\x04\x8b" + struct.pack("<I", 10_000_000) + bytes(10_000_000) + b".", id="long integer"
        ),
        pytest.param(b"\x80\x04r" + struct.pack("<I", 2**31) + b"N.", id="far memo"),
    ],
)
def test_pickle_made_to_exhaust_the_server_is_refused(tiny_stack: Stack, payload: bytes) -> None:
    with PickleClient(tiny_stack.zmq_port) as client:
        assert client.send_bytes(payload)["status"] == "error"


@pytest.mark.parametrize("frames", [[b"", b""], [b"", b"a", b"b"], [b"", b"", b""]], ids=repr)
def test_message_of_several_frames_gets_an_error(tiny_stack: Stack, frames: list[bytes]) -> None:
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.linger, dealer.rcvtimeo = 0, 1000 * WITHIN_S
        dealer.connect(f"tcp://127.0.0.1:{tiny_stack.zmq_port}")
        dealer.send_multipart(frames)
        assert pickle.loads(dealer.recv_multipart()[-1])["status"] == "error"


@pytest.mark.parametrize(
    "sent", [b"GET / HTTP/1.1\r\n\r\n", bytes(100_000), random.Random(3).randbytes(100_000), b"\xff"], ids=len
)
def test_stranger_to_zeromq_harms_nobody(tiny_stack: Stack, sent: bytes) -> None:
    with raw_connection(tiny_stack.zmq_port) as connection:
        try:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(4096):
                pass
        except OSError:
            return  # either way of ending the conversation will do


def test_clients_that_leave_before_their_replies_harm_nobody(tiny_stack: Stack) -> None:
    request = pickle.dumps({"type": "predict", "image": picture(0)})
    for _ in range(20):
        with zmq.Context() as context, context.socket(zmq.REQ) as client:
            client.linger = 0
            client.connect(f"tcp://127.0.0.1:{tiny_stack.zmq_port}")
            client.send(request)


BAD_LENGTHS = [
    "-1",
    "0",
    "true",
    "false",
    "null",
    "1.5",
    "1e-3",
    '"100"',
    "[]",
    "{}",
    str(2**31),
    str(2**64),
    "9" * 4000,
]


@pytest.mark.parametrize("length", BAD_LENGTHS, ids=lambda length: length[:20])
def test_impossible_length_gets_an_error_and_then_the_end(tiny_stack: Stack, length: str) -> None:
    with JsonClient(tiny_stack.tcp_port) as client:
        client.socket.sendall(b'{"type": "predict", "len": %b}\n' % length.encode() + bytes(100_000))
        assert json.loads(client.line())["status"] == "error"
        assert client.line() == b""


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b'{"type": "' + b"x" * 100_000 + b'"}\n', id="100 kB line"),
        pytest.param(b"x" * 100_000, id="100 kB without end"),
        pytest.param(b"[" * 60_000 + b"\n", id="deep JSON"),
        pytest.param(b'{"a":' * 10_000 + b"1" + b"}" * 10_000 + b"\n", id="deep objects"),
        pytest.param(b'{"type": "predict", "seed": ' + b"9" * 60_000 + b"}\n", id="endless number"),
        pytest.param(b'{"type": "predict", "len": NaN}\n', id="NaN"),
        pytest.param(b"\x00" * 1000 + b"\n", id="zeros"),
        pytest.param(random.Random(4).randbytes(70_000).replace(b"\n", b""), id="random bytes"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", id="HTTP"),
        pytest.param(b'{"type": "\\ud800"}\n', id="half a surrogate"),
    ],
)
def test_invalid_header_gets_an_error_and_then_the_end(tiny_stack: Stack, line: bytes) -> None:
    with JsonClient(tiny_stack.tcp_port) as client:
        client.socket.sendall(line)
        assert json.loads(client.line())["status"] == "error"
        assert client.line() == b""


def broken_files() -> dict[str, bytes]:
    png, jpeg = image_file(picture(0, 300, 300)), image_file(picture(0, 300, 300), "JPEG")
    vast = png[:16] + struct.pack(">II", 60_000, 60_000) + png[24:]
    return {
        "half a PNG header": png[:20],
        "vast PNG": vast,
        "half a JPEG header": jpeg[:100],
        "random": random.Random(5).randbytes(5000),
        "text": b"<svg/>",
        "vast PNM": b"P6 50000 50000 255\n" + bytes(1000),
    }


@pytest.mark.parametrize("name", list(broken_files()))
def test_broken_image_gets_an_error_and_the_stream_goes_on(tiny_stack: Stack, name: str) -> None:
    file = broken_files()[name]
    with JsonClient(tiny_stack.tcp_port) as client:
        assert client.request({"type": "predict", "len": len(file)}, file)["status"] == "error"
        assert client.request({"type": "info"})["status"] == "ok"


@pytest.mark.parametrize(
    "options", [{"seed": -1}, {"seed": True}, {"seed": 1.0}, {"game": []}, {"timing": 1}], ids=repr
)
def test_impossible_option_gets_an_error_and_the_stream_goes_on(
    tiny_stack: Stack, options: dict[str, object]
) -> None:
    with JsonClient(tiny_stack.tcp_port) as client:
        reply = client.request({"type": "predict", **options}, picture(0).tobytes())
        assert reply["status"] == "error"
        assert client.request({"type": "info"})["status"] == "ok"


def test_senders_that_stall_inside_a_request_get_an_error(tiny_stack: Stack) -> None:
    beginnings = [
        b'{"type": "pred',
        b'{"type": "predict"}\n' + bytes(100_000),
        b'{"type": "predict", "len": 1000}\n' + bytes(10),
        b'{"type": "predict"}\nBM',
    ]
    clients = [JsonClient(tiny_stack.tcp_port) for _ in beginnings]
    try:
        for client, beginning in zip(clients, beginnings, strict=True):
            client.socket.sendall(beginning)
        for client in clients:
            assert json.loads(client.line())["status"] == "error"
            assert client.line() == b""
    finally:
        for client in clients:
            client.close()


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"{",
        b'{"type": "predict"}\n',
        PREDICT,
        b'{"type": "info"}\n' * 50,
    ],
    ids=len,
)
def test_instant_disconnects_harm_nobody(tiny_stack: Stack, sent: bytes) -> None:
    # With 16 requests of each in flight, below the 256 of one address, which is the players' as well.
    for _ in range(15):
        with raw_connection(tiny_stack.tcp_port) as connection:
            # The kernel sends RST instead of FIN: everything in flight is lost.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.sendall(sent)


def test_client_that_never_reads_its_replies_harms_nobody(tiny_stack: Stack) -> None:
    with raw_connection(tiny_stack.tcp_port) as connection:
        connection.settimeout(0.5)
        try:
            for _ in range(400):
                connection.sendall(b'{"type": "info"}\n' * 500)
        except TimeoutError:
            return  # the gateway has stopped reading


def test_many_idle_connections_harm_nobody(tiny_stack: Stack) -> None:
    connections = [
        socket.create_connection(("127.0.0.1", tiny_stack.tcp_port), timeout=WITHIN_S) for _ in range(200)
    ]
    try:
        with JsonClient(tiny_stack.tcp_port) as client:
            assert client.request({"type": "info"})["status"] == "ok"
    finally:
        for connection in connections:
            connection.close()
