"""Streams that come to port 5556 and are something else: told at once, and logged once a minute."""

import asyncio
import json
import logging
import pickle
import ssl
from pathlib import Path

import msgpack
import pytest
import zmq
import zmq.asyncio

from gateway.errors import ForeignError, FramingError
from gateway.protocol.tcp.foreign_streams import HEAD_BYTES
from gateway.protocol.tcp.json_stream import JsonStream
from gateway.server import Gateway
from gateway.telemetry.rarely import Rarely
from tests.gateway.ports.zmq.peers import until
from tests.gateways import running_gateway
from tests.patience import WITHIN_S

ZMQ = "ZeroMQ port (--zmq-port, usually 5555)"


def client_hello() -> bytes:
    """Return what a TLS client sends first."""
    outgoing = ssl.MemoryBIO()
    context = ssl.create_default_context()
    connection = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        connection.do_handshake()
    return outgoing.read()


AT_ZMQ = {
    "JSON": (b'{"type": "info"}\n', "a line of JSON", "TCP port (--tcp-port, usually 5556)"),
    "JSON with a mark": (b'\xef\xbb\xbf{"type": "info"}\n', "a line of JSON", "--tcp-port"),
    "BizHawk": (b"1234 \x89PNG", "BizHawk", "--tcp-port"),
    "HTTP": (b"GET / HTTP/1.1\r\n\r\n", "HTTP", "web port (--web-port, usually 5557)"),
    "gRPC": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "gRPC", "Triton"),
    "TLS": (client_hello(), "a TLS client's hello", "--curve-keys"),
    "pickle": (pickle.dumps({"type": "reset"}), "a pickle", "by a ZeroMQ library"),
}

STRANGERS = {
    "ZeroMQ": (b"\xff" + bytes(7) + b"\x01\x7f", "a ZeroMQ client's greeting", ZMQ),
    "TLS": (client_hello(), "a TLS client's hello", "--tcp-tls-cert"),
    "pickle": (pickle.dumps({"type": "reset"}), "a pickle", ZMQ),
    "pickle 2": (pickle.dumps({"type": "reset"}, 2), "a pickle", ZMQ),
    "msgpack": (msgpack.packb({"type": "reset"}), "msgpack", ZMQ),
    "HTTP": (b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP", "--http-port"),
    "HTTP post": (b'POST / HTTP/1.1\r\n\r\n{"type": "info"}', "HTTP", "--http-port"),
    "gRPC": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "gRPC", "Triton"),
    "PNG": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "a picture", "its header before it"),
    "JPEG": (b"\xff\xd8\xff\xe0\0\x10JFIF", "a picture", "its header before it"),
    "UTF-16": ('{"type": "info"}\n'.encode("utf-16"), "text in UTF-16", "UTF-8"),
    "UTF-16 without a mark": ('{"type": "info"}\n'.encode("utf-16-le"), "text in UTF-16", "UTF-8"),
}


@pytest.mark.parametrize("name", STRANGERS)
def test_a_stranger_is_told_what_it_looks_like_and_where_it_belongs(name: str) -> None:
    data, looks_like, belongs = STRANGERS[name]
    whole, bytewise = JsonStream(), JsonStream()
    (error,) = whole.receive(data)
    assert isinstance(error, ForeignError)
    assert f"looks like {looks_like}" in str(error)
    assert belongs in str(error)
    (again,) = [event for byte in data[:HEAD_BYTES] for event in bytewise.receive(bytes([byte]))]
    assert str(again) == str(error)


@pytest.mark.parametrize("data", [b"hello there\n", b"x" * 11, b"\0" * 20, b"\xff" * 20])
def test_what_is_not_known_is_shown(data: bytes) -> None:
    (error,) = JsonStream().receive(data)
    assert type(error) is FramingError
    assert f"begins with {data[:10]!r}, which is not a JSON object; send one line" in str(error)


@pytest.mark.parametrize("rest", [b"\x01\0\0\0\0\0\0\0\0\0", b"\x80\x04" + bytes(20), b"GET of a picture"])
def test_the_rest_of_a_picture_is_no_stranger(rest: bytes) -> None:
    _, error = JsonStream().receive(b'{"type": "predict", "len": 3}\nabc' + rest)
    assert type(error) is FramingError
    assert "was the last picture longer than its len" in str(error)


def test_a_short_stranger_is_told_so_when_its_time_is_over() -> None:
    stream = JsonStream()
    assert stream.receive(b"\x80\x04.") == []
    assert "looks like a pickle" in str(stream.late(5))


async def told(gateway: Gateway, data: bytes) -> str:
    """The error that the TCP port answers with."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port_numbers["tcp"])
    writer.write(data)
    reply = json.loads(await asyncio.wait_for(reader.readline(), WITHIN_S))
    writer.close()
    assert reply["status"] == "error"
    return str(reply["message"])


async def test_a_stranger_is_logged_once_a_minute_and_address(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        async with running_gateway() as gateway:
            for _ in range(5):
                assert "a TLS client's hello" in await told(gateway, client_hello())
                assert "looks like HTTP" in await told(gateway, b"GET / HTTP/1.1\r\n\r\n")
    tls, http = [record for record in caplog.records if "looks like" in record.getMessage()]
    assert tls.levelname == http.levelname == "WARNING"
    assert (
        "127.0.0.1 came to the wrong port: what comes to this TCP port looks like a TLS" in tls.getMessage()
    )


async def test_a_zeromq_client_at_the_tcp_port_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        async with running_gateway() as gateway:
            with zmq.asyncio.Context() as context, context.socket(zmq.REQ) as client:
                client.linger = 0
                client.connect(f"tcp://127.0.0.1:{gateway.port_numbers['tcp']}")
                await client.send(pickle.dumps({"type": "reset"}))
                await until(lambda: "a ZeroMQ client's greeting" in caplog.text, "it is logged")


@pytest.mark.parametrize("name", AT_ZMQ)
async def test_a_stranger_to_the_zmq_port_is_logged(name: str, caplog: pytest.LogCaptureFixture) -> None:
    data, looks_like, belongs = AT_ZMQ[name]
    with caplog.at_level(logging.INFO):
        async with running_gateway() as gateway:
            _, writer = await asyncio.open_connection("127.0.0.1", gateway.port_numbers["zmq"])
            writer.write(data)
            await until(lambda: f"looks like {looks_like}, which" in caplog.text, "it is logged")
            writer.close()
    assert belongs in caplog.text


async def test_a_stranger_to_a_port_with_a_token_is_told_so_too(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("secret")
    async with running_gateway(tcp_token_file=token) as gateway:
        assert "looks like HTTP" in await told(gateway, b"GET / HTTP/1.1\r\n\r\n")


def test_a_thing_is_said_once_a_minute_and_few_are_remembered() -> None:
    now = 100.0
    rarely = Rarely(lambda: now)
    assert rarely.is_due("a")
    assert not rarely.is_due("a")
    assert rarely.is_due("b")
    now += 61
    assert rarely.is_due("a")
    for number in range(2000):
        assert rarely.is_due(str(number))
    assert len(rarely._said) == 1000
