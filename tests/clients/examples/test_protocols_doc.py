"""docs/reference/protocols.md: each exchange of bytes that it shows is one that the real gateway makes."""

import io
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import PIL.Image
import pytest
import zmq

from tests.paths import ROOT
from tests.patience import WITHIN_S
from tests.stack import Stack

TEXT = (ROOT / "docs" / "reference" / "protocols.md").read_text()
BLOCK = re.compile(r"^```(hex|text) (5555|5556)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HOLE = re.compile(r"\((\d+) bytes\)")
ESCAPE = re.compile(rb"\\(?:x([0-9a-f]{2})|([nr]))")
STEPS = 18


@dataclass(frozen=True)
class Exchange:
    """One request and its reply, as a block of the page has them: what follows `>`, and what follows `<`."""

    request: str
    reply: str


def exchanges(block: str) -> list[Exchange]:
    """A block's exchanges. A request begins where a line with `>` follows one with `<`, or nothing."""
    found: list[tuple[list[str], list[str]]] = []
    for line in filter(None, block.splitlines()):
        assert line[:2] in ("> ", "< "), line
        if line[0] == ">" and (not found or found[-1][1]):
            found.append(([], []))
        found[-1]["><".index(line[0])].append(line[2:])
    return [Exchange("\n".join(request), "\n".join(reply)) for request, reply in found]


BLOCKS = [(kind, port, exchanges(block)) for kind, port, block in BLOCK.findall(TEXT)]


def from_hex(text: str) -> bytes:
    """A hexadecimal text's bytes, without its comments."""
    return bytes.fromhex(" ".join(line.partition("#")[0] for line in text.splitlines()))


def unescaped(text: str) -> bytes:
    """A text's bytes; lines of the page are joined."""

    def byte(found: re.Match[bytes]) -> bytes:
        return bytes.fromhex(found[1].decode()) if found[1] else {b"n": b"\n", b"r": b"\r"}[found[2]]

    return ESCAPE.sub(byte, text.replace("\n", "").encode("ascii"))


def assert_hex(actual: bytes, shown: str) -> None:
    """Compare a reply with a hexadecimal text, whose holes are actions: float32 from -1 to 1."""
    code = "\n".join(line.partition("#")[0] for line in shown.splitlines())
    parts = HOLE.split(code)
    position = 0
    for index, part in enumerate(parts):
        if index % 2 == 0:
            expected = from_hex(part)
            assert actual[position : position + len(expected)].hex(" ") == expected.hex(" ")
            position += len(expected)
        else:
            floats = np.frombuffer(actual[position : position + int(part)], "<f4")
            assert floats.size * 4 == int(part)
            assert np.all(np.abs(floats) <= 1)
            position += int(part)
    assert position == len(actual)


def assert_text(actual: bytes, shown: bytes) -> None:
    """Compare a reply with a text, in which `,...` stands for steps; their numbers may be others."""
    whole = re.sub(rb"(\[[^][]*\]),\.\.\.", lambda step: b",".join([step[1]] * STEPS), shown)
    assert without_numbers(actual) == without_numbers(whole)


def without_numbers(reply: bytes) -> bytes:
    """A reply with the same letter for each stick's number, and one for each step's buttons."""
    return re.sub(rb"-?[01]\.\d{3}", b"S", re.sub(rb"(?<=\[)[01](,[01]){20}(?=\])", b"B", reply))


@pytest.fixture
def zmq_client(context_stack: Stack) -> Iterator["zmq.Socket[bytes]"]:
    with zmq.Context() as context, context.socket(zmq.REQ) as client:
        client.linger = 0
        client.rcvtimeo = WITHIN_S * 1000
        client.connect(f"tcp://127.0.0.1:{context_stack.zmq_port}")
        yield client


@pytest.fixture
def tcp_client(context_stack: Stack) -> Iterator[tuple[socket.socket, BinaryIO]]:
    address = ("127.0.0.1", context_stack.tcp_port)
    with socket.create_connection(address, timeout=WITHIN_S) as client, client.makefile("rb") as replies:
        yield client, replies


def cases(kind: str, port: str, begins: str) -> list[list[Exchange]]:
    """The blocks of a format: their first request begins with this."""
    return [
        block
        for one, where, block in BLOCKS
        if (one, where) == (kind, port) and re.match(begins, block[0].request)
    ]


MSGPACK = cases("hex", "5555", "8[1-9a-f]")
PICKLE = cases("hex", "5555", "80 04")
JSON = cases("text", "5556", "{")
BIZHAWK = cases("text", "5556", "[0-9]")


def test_every_format_has_a_predict_a_reset_and_an_error() -> None:
    assert sum(map(len, (MSGPACK, PICKLE, JSON, BIZHAWK))) == len(BLOCKS)
    for blocks in (MSGPACK, PICKLE):
        requests = [from_hex(exchange.request) for block in blocks for exchange in block]
        assert [sum(word in request for request in requests) for word in (b"predict", b"reset", b"jump")] == [
            1
        ] * 3
    for blocks in (JSON, BIZHAWK):
        requests = [unescaped(exchange.request) for block in blocks for exchange in block]
        assert [sum(word in request for request in requests) for word in (b"PNG", b"reset", b"jump")] == [
            1
        ] * 3


@pytest.mark.parametrize("block", [*MSGPACK, *PICKLE])
def test_an_exchange_on_port_5555(zmq_client: "zmq.Socket[bytes]", block: list[Exchange]) -> None:
    for exchange in block:
        zmq_client.send(from_hex(exchange.request))
        assert_hex(zmq_client.recv(), exchange.reply)


@pytest.mark.parametrize("block", JSON)
def test_lines_of_json_on_port_5556(
    tcp_client: tuple[socket.socket, BinaryIO], block: list[Exchange]
) -> None:
    client, replies = tcp_client
    for exchange in block:
        client.sendall(unescaped(exchange.request))
        assert_text(replies.readline(), unescaped(exchange.reply))
        if b"jump" in unescaped(exchange.request):
            assert replies.read() == b"", "the page says that the connection ends"


@pytest.mark.parametrize("block", BIZHAWK)
def test_bizhawks_frames_on_port_5556(
    tcp_client: tuple[socket.socket, BinaryIO], block: list[Exchange]
) -> None:
    client, replies = tcp_client
    for exchange in block:
        client.sendall(unescaped(exchange.request))
        digits = b""
        while not digits.endswith(b" "):
            byte = replies.read(1)
            assert byte, f"the connection ended after {digits!r}"
            digits += byte
        payload = replies.read(int(digits))
        shown_length, _, shown = unescaped(exchange.reply).partition(b" ")
        assert_text(payload, shown)
        if b"..." not in shown:
            assert digits == shown_length + b" "


def test_the_png_on_the_page_is_the_picture_that_it_names() -> None:
    for block in (JSON[0], BIZHAWK[0]):
        (request,) = [unescaped(one.request) for one in block if b"PNG" in unescaped(one.request)]
        png = request[request.index(b"\x89PNG") :]
        assert len(png) == int(re.findall(rb"\d+", request)[0])
        picture = PIL.Image.open(io.BytesIO(png)).convert("RGB")
        assert np.asarray(picture).tolist() == [[[255, 0, 0], [0, 0, 255]]]


def test_the_python_client_on_the_page(context_stack: Stack, tmp_path: Path) -> None:
    (program,) = re.findall(r"^```python\n(import msgpack.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    address = f"127.0.0.1:{context_stack.zmq_port}"
    assert program.count("GATEWAY:5555") == 1
    script = tmp_path / "client.py"
    # A process that ends with a context that was not closed waits for nothing, since nothing is unsent.
    script.write_text(program.replace("GATEWAY:5555", address))
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path
    )
    assert (done.stdout, done.returncode) == (f"({STEPS}, 21)\n", 0), done.stderr
