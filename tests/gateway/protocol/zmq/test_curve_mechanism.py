"""The server's side of CurveZMQ without a socket: handshakes that go wrong, and boxes that were touched."""

import os
import struct

import pytest
from nacl import bindings as sodium

from gateway.protocol.zmq.envelope import wants_more
from gateway.protocol.zmq.zmtp.curve import CurveMechanism
from gateway.protocol.zmq.zmtp.errors import FrameError, KeyMismatchError, PeerError, UnknownKeyError
from gateway.protocol.zmq.zmtp.frames import COMMAND, MORE, frame, metadata
from gateway.protocol.zmq.zmtp.stream import ZmtpStream
from tests.gateway.protocol.zmq.zmtp_streams import GREETING, MAX_MESSAGE_BYTES, OLD_GREETING, feed

SERVER_KEY, SERVER_SECRET = sodium.crypto_box_keypair()
CLIENT_KEY, CLIENT_SECRET = sodium.crypto_box_keypair()


# After a frame's header with a short length, and the name.
WELCOME_AT = 2 + len(b"\x07WELCOME")


def command(name: bytes, data: bytes = b"") -> bytes:
    return bytes((len(name),)) + name + data


def nonce(prefix: bytes, counter: int) -> bytes:
    return prefix + struct.pack(">Q", counter)


class Client:
    """A client's side, by libsodium, and the server's `mechanism` that it speaks to."""

    def __init__(self, *known: bytes) -> None:
        self.mechanism = CurveMechanism(SERVER_SECRET, lambda key: key in known)
        self._key, self._secret = sodium.crypto_box_keypair()
        self._shared = b""

    def hello(self, server_key: bytes = SERVER_KEY) -> bytes:
        """HELLO: its own key of this connection, and 64 zeros in a box for the server's key."""
        box = sodium.crypto_box_easy(bytes(64), nonce(b"CurveZMQHELLO---", 1), server_key, self._secret)
        return command(b"HELLO", b"\x01\x00" + bytes(72) + self._key + struct.pack(">Q", 1) + box)

    def initiate(self, welcome: bytes, *, vouches_for: bytes | None = None, cookie: bytes = b"") -> bytes:
        """INITIATE: the cookie, its long-term key, and a vouch for the connection's key."""
        body = welcome[WELCOME_AT:]
        opened = sodium.crypto_box_open_easy(body[16:], b"WELCOME-" + body[:16], SERVER_KEY, self._secret)
        server_key, its_cookie = opened[:32], opened[32:]
        self._shared = sodium.crypto_box_beforenm(server_key, self._secret)
        number = os.urandom(16)
        vouch = sodium.crypto_box_easy(
            (vouches_for or self._key) + SERVER_KEY, b"VOUCH---" + number, server_key, CLIENT_SECRET
        )
        told = CLIENT_KEY + number + vouch + metadata(Socket_Type=b"REQ", Identity=b"me")
        box = sodium.crypto_box_easy_afternm(told, nonce(b"CurveZMQINITIATE", 2), self._shared)
        return command(b"INITIATE", (cookie or its_cookie) + struct.pack(">Q", 2) + box)

    def sealed(self, counter: int, body: bytes, flags: int = 0) -> bytes:
        """A frame in its box."""
        box = sodium.crypto_box_easy_afternm(
            bytes((flags,)) + body, nonce(b"CurveZMQMESSAGEC", counter), self._shared
        )
        return b"\x07MESSAGE" + struct.pack(">Q", counter) + box

    def opened(self, body: bytes) -> bytes:
        """Return what is in the server's box, its flags first."""
        box_nonce = b"CurveZMQMESSAGES" + body[8:16]
        return bytes(sodium.crypto_box_open_easy_afternm(body[16:], box_nonce, self._shared))


@pytest.fixture
def client() -> Client:
    """A client whose handshake is done."""
    client = Client(CLIENT_KEY)
    client.mechanism.answer(client.initiate(client.mechanism.answer(client.hello())))
    assert client.mechanism.is_ready
    return client


def test_a_known_key_comes_in_with_its_name(client: Client) -> None:
    assert (client.mechanism.key, client.mechanism.peer.identity) == (CLIENT_KEY, b"me")


def test_frames_and_commands_go_both_ways(client: Client) -> None:
    assert client.mechanism.opened(0, client.sealed(3, b"request", 1)) == (MORE, b"request")
    assert client.mechanism.opened(0, client.sealed(4, b"\x04PING", 2)) == (COMMAND, b"\x04PING")
    _, reply = client.mechanism.sealed(MORE, b"reply")
    assert client.opened(reply) == b"\x01reply"
    _, pong = client.mechanism.sealed(COMMAND, b"\x04PONG")
    assert client.opened(pong) == b"\x02\x04PONG"


def test_a_frame_that_came_before_is_refused(client: Client) -> None:
    sent = client.sealed(3, b"request")
    client.mechanism.opened(0, sent)
    with pytest.raises(FrameError, match="came again"):
        client.mechanism.opened(0, sent)


def test_a_frame_that_was_touched_is_refused(client: Client) -> None:
    sent = client.sealed(3, b"request")
    with pytest.raises(FrameError, match="does not open"):
        client.mechanism.opened(0, sent[:-1] + bytes((sent[-1] ^ 1,)))


@pytest.mark.parametrize("plain", [b"", b"a request without a box", b"\x07MESSAGE" + bytes(24)])
def test_a_frame_without_a_box_is_refused(client: Client, plain: bytes) -> None:
    with pytest.raises(FrameError, match="is not sealed"):
        client.mechanism.opened(0, plain)


def test_a_client_with_another_servers_key_does_not_come_in() -> None:
    client = Client(CLIENT_KEY)
    with pytest.raises(KeyMismatchError, match="the gateway's public key"):
        client.mechanism.answer(client.hello(CLIENT_KEY))


def test_an_unknown_key_does_not_come_in() -> None:
    client = Client()
    initiate = client.initiate(client.mechanism.answer(client.hello()))
    with pytest.raises(UnknownKeyError):
        client.mechanism.answer(initiate)
    assert not client.mechanism.is_ready


def test_a_vouch_of_another_connection_does_not_come_in() -> None:
    client = Client(CLIENT_KEY)
    initiate = client.initiate(client.mechanism.answer(client.hello()), vouches_for=bytes(32))
    with pytest.raises(KeyMismatchError, match="another connection"):
        client.mechanism.answer(initiate)
    assert not client.mechanism.is_ready


def test_another_cookie_or_a_torn_initiate_does_not_come_in() -> None:
    client = Client(CLIENT_KEY)
    welcome = client.mechanism.answer(client.hello())
    for initiate in (client.initiate(welcome, cookie=bytes(96)), client.initiate(welcome)[:200]):
        with pytest.raises(PeerError, match="INITIATE"):
            client.mechanism.answer(initiate)
    assert not client.mechanism.is_ready


@pytest.mark.parametrize("hello", [command(b"HELLO", b"\x01\x00"), command(b"HELLO", bytes(194))])
def test_a_hello_of_another_size_or_version_is_refused(hello: bytes) -> None:
    with pytest.raises(PeerError, match="unknown size or version"):
        Client(CLIENT_KEY).mechanism.answer(hello)


def test_commands_out_of_turn_are_refused(client: Client) -> None:
    for out_of_turn in (client.hello(), command(b"INITIATE"), command(b"READY")):
        with pytest.raises(PeerError, match="goes on with"):
            client.mechanism.answer(out_of_turn)


@pytest.mark.parametrize("greeting", [GREETING, OLD_GREETING], ids=["NULL", "ZMTP 2.0"])
def test_a_client_without_keys_is_told_so_by_its_greeting(greeting: bytes) -> None:
    stream = ZmtpStream(Client(CLIENT_KEY).mechanism, MAX_MESSAGE_BYTES, wants_more)
    _, problem = feed(stream, [greeting])
    assert isinstance(problem, KeyMismatchError)


def test_a_stream_opens_what_comes_after_its_handshake_and_can_refuse_instead() -> None:
    client = Client(CLIENT_KEY)
    stream = ZmtpStream(client.mechanism, MAX_MESSAGE_BYTES, wants_more)
    feed(stream, [GREETING.replace(b"NULL\0", b"CURVE")])
    stream.outgoing()
    feed(stream, [frame(client.hello(), COMMAND)])
    welcome = stream.outgoing()
    assert stream.refusal() == frame(b"\x05ERROR\x03400", COMMAND)
    feed(stream, [frame(client.initiate(welcome), COMMAND)])
    (message,), problem = feed(stream, [frame(client.sealed(3, b"request"))])
    assert problem is None
    assert message.parts == [b"request"]
