"""CurveZMQ, the server's side (ZeroMQ's RFC 26): a handshake that proves keys, then frames in sealed boxes.

The cryptography is libsodium's, through PyNaCl. The keys have the RFC's names: C and S are the two sides'
long-term keys, C' and S' those of one connection; a small letter is the secret half.
"""

import hmac
import os
import struct
from collections.abc import Callable

from nacl import bindings as sodium
from nacl.exceptions import CryptoError

from gateway.protocol.zmq.zmtp.errors import FrameError, KeyMismatchError, PeerError, UnknownKeyError
from gateway.protocol.zmq.zmtp.frames import (
    COMMAND,
    MORE,
    SHOWN_BYTES,
    Introduction,
    command,
    introduction,
    split_command,
)
from gateway.protocol.zmq.zmtp.null import OURS

_KEY_BYTES = 32
_VERSION = b"\x01\x00"
_COOKIE_BYTES = 96
_COUNTER = struct.Struct(">Q")
_HELLO_BYTES = 194
_MESSAGE = b"\x07MESSAGE"
# The flag of a command inside a box.
_SEALED_COMMAND = 2
_BODY_AT = len(_MESSAGE) + _COUNTER.size
_MIN_MESSAGE_BYTES = _BODY_AT + 16 + 1


class CurveMechanism:
    """One connection's handshake and boxes; `peer`, and `key` (32 bytes), once `is_ready`.

    Args:
        secret: s, the server's long-term secret key, 32 bytes.
        knows: whether a client with this key may connect.
    """

    name = b"CURVE"
    seals = True

    def __init__(self, secret: bytes, knows: Callable[[bytes], bool]) -> None:
        self.is_ready = False
        self.peer = Introduction()
        self.key = b""
        self._secret = secret
        self._knows = knows
        self._client = b""  # C'
        self._own_public, self._own_secret = sodium.crypto_box_keypair()  # S', s'
        self._cookie = b""
        self._shared = b""
        self._sent = 1
        self._seen = 0

    def answer(self, body: bytes) -> bytes:
        """Return what to send to a peer's command.

        Raises:
            KeyMismatchError: a box does not open, or the key is unknown.
            IdentityError: the peer chose an identity that is not allowed.
            PeerError: the command does not belong to the handshake.
        """
        name, data = split_command(body)
        try:
            if name == b"HELLO" and not self._client:
                return self._welcome(data)
            if name == b"INITIATE" and self._cookie:
                return self._ready(data)
        except CryptoError as error:
            raise KeyMismatchError("its keys do not fit: it needs the gateway's public key") from error
        raise PeerError(f"its handshake goes on with {name[:SHOWN_BYTES]!r}")

    def opened(self, flags: int, body: bytes | bytearray) -> tuple[int, bytes | bytearray]:
        """Return the flags and the body of the frame sealed in this one.

        Raises:
            FrameError: it is not a box, does not open, or came before.
        """
        if len(body) < _MIN_MESSAGE_BYTES or body[: len(_MESSAGE)] != _MESSAGE:
            raise FrameError("a frame is not sealed")
        counter = _COUNTER.unpack_from(body, len(_MESSAGE))[0]
        if counter <= self._seen:
            raise FrameError("a sealed frame came again")
        self._seen = counter
        try:
            opened = sodium.crypto_box_open_easy_afternm(
                bytes(memoryview(body)[_BODY_AT:]), _nonce(b"CurveZMQMESSAGEC", counter), self._shared
            )
        except CryptoError as error:
            raise FrameError("a sealed frame does not open") from error
        flags = opened[0] & MORE | (COMMAND if opened[0] & _SEALED_COMMAND else 0)
        return flags, bytes(memoryview(opened)[1:])

    def sealed(self, flags: int, body: bytes) -> tuple[int, bytes]:
        """Return the flags and the body of a frame that seals this one."""
        counter = self._next()
        inner = flags & MORE | (_SEALED_COMMAND if flags & COMMAND else 0)
        box = sodium.crypto_box_easy_afternm(
            bytes((inner,)) + body, _nonce(b"CurveZMQMESSAGES", counter), self._shared
        )
        return 0, _MESSAGE + _COUNTER.pack(counter) + bytes(box)

    def _welcome(self, hello: bytes) -> bytes:
        if len(hello) != _HELLO_BYTES or hello[:2] != _VERSION:
            raise PeerError("its HELLO has an unknown size or version")
        client = hello[74:106]
        # 64 zeros, which prove that the client knows S.
        sodium.crypto_box_open_easy(hello[114:], b"CurveZMQHELLO---" + hello[106:114], client, self._secret)
        self._client = client
        # The RFC's cookie lets a server forget the client until INITIATE; this one does not.
        self._cookie = os.urandom(_COOKIE_BYTES)
        nonce = os.urandom(16)
        box = sodium.crypto_box_easy(
            self._own_public + self._cookie, b"WELCOME-" + nonce, client, self._secret
        )
        return command(b"WELCOME", nonce + bytes(box))

    def _ready(self, initiate: bytes) -> bytes:
        cookie, rest = initiate[:_COOKIE_BYTES], initiate[_COOKIE_BYTES:]
        if not hmac.compare_digest(cookie, self._cookie) or len(rest) < _COUNTER.size + 16 + 128:
            raise PeerError("its INITIATE is torn, or has the wrong cookie")
        self._shared = bytes(sodium.crypto_box_beforenm(self._client, self._own_secret))
        counter = _COUNTER.unpack_from(rest)[0]
        told = bytes(
            sodium.crypto_box_open_easy_afternm(
                rest[_COUNTER.size :], _nonce(b"CurveZMQINITIATE", counter), self._shared
            )
        )
        key, vouch_nonce, vouch = told[:_KEY_BYTES], told[32:48], told[48:128]
        # The vouch ties C' and the intended server to C.
        vouched = bytes(sodium.crypto_box_open_easy(vouch, b"VOUCH---" + vouch_nonce, key, self._own_secret))
        server = bytes(sodium.crypto_scalarmult_base(self._secret))
        if not hmac.compare_digest(vouched, self._client + server):
            raise KeyMismatchError("its key vouches for another connection")
        if not self._knows(key):
            raise UnknownKeyError("its key is unknown")
        self.peer = introduction(told[128:])
        self.key = key
        self._seen = counter
        self._cookie = b""
        self.is_ready = True
        number = self._next()
        box = sodium.crypto_box_easy_afternm(OURS, _nonce(b"CurveZMQREADY---", number), self._shared)
        return command(b"READY", _COUNTER.pack(number) + bytes(box))

    def _next(self) -> int:
        number = self._sent
        self._sent += 1
        return number


def _nonce(prefix: bytes, counter: int) -> bytes:
    return prefix + _COUNTER.pack(counter)
