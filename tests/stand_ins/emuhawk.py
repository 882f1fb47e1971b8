"""A stand-in for EmuHawk's own socket client (`--socket_ip`, `comm.socketServer...` of its Lua scripts).

As EmuHawk since BizHawk 2.9: frames of `<length in bytes><blank><payload>` in both directions, sent
whole by a blocking socket. A reply's length is read byte by byte until a blank, and the end of the stream is
not looked for there: the real one then polls forever. A reset connection, a receive timeout and an end
inside a payload give the script an empty text. A screenshot that cannot be sent is sent again over a new
connection, up to ten times.
"""

import socket
import time

from tests.patience import WITHIN_S

RETRIES = 10
# The real one has no limit; here a test fails that makes it poll for longer.
MAX_SPINNING_S = 2.0


class SpinningError(AssertionError):
    """The server ended the connection where EmuHawk polls forever."""


class EmuHawk:
    """One emulator. `polls`: how often it has asked a connection that had ended, which freezes the game."""

    def __init__(self, port: int, timeout_s: float = WITHIN_S) -> None:
        self.port = port
        self.timeout_s = timeout_s
        self.polls = 0
        self.connections = 0
        self._socket: socket.socket | None = None
        self._connect()

    def socket_server_screen_shot(self, png: bytes) -> str:
        """Send a screenshot; a text that says whether that went well."""
        return "Screenshot was sent" if self._send_screenshot(png) else "Screenshot could not be sent"

    def socket_server_screen_shot_response(self, png: bytes) -> str:
        """Send a screenshot; its reply's text."""
        self._send_screenshot(png)
        return self.socket_server_response() or "Failed to get a response"

    def socket_server_send(self, text: str) -> int:
        """Send a text; how many bytes that were, or -1."""
        return self._send(_framed(text.encode()))

    def socket_server_response(self) -> str:
        """The next reply's text; empty when it does not come."""
        try:
            payload = self._receive(int(self._receive_length()))
        except (OSError, ValueError):
            return ""
        return payload.decode()

    def wait_for_reset(self, timeout_s: float) -> bool:
        """Wait, as a script that does other things, until the connection has been reset."""
        assert self._socket is not None
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                return True
            time.sleep(0.02)
        return False

    def close(self) -> None:
        """Close the connection."""
        if self._socket is not None:
            self._socket.close()

    def __enter__(self) -> "EmuHawk":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _connect(self) -> None:
        self.close()
        self._socket = socket.create_connection(("127.0.0.1", self.port), timeout=self.timeout_s)
        self.connections += 1

    def _send(self, data: bytes) -> int:
        assert self._socket is not None
        try:
            self._socket.sendall(data)
        except OSError:
            return -1
        return len(data)

    def _send_screenshot(self, png: bytes) -> bool:
        for tries in range(1, RETRIES + 1):
            if self._send(_framed(png)) > 0:
                return tries < RETRIES
            self._connect()  # what goes wrong here ends the script
        return False

    def _receive_length(self) -> str:
        assert self._socket is not None
        digits, spinning_since = "", 0.0
        while True:
            byte = self._socket.recv(1)
            if byte == b" ":
                return digits
            if byte:
                digits += byte.decode("latin1")
                continue
            self.polls += 1
            spinning_since = spinning_since or time.monotonic()
            if time.monotonic() - spinning_since > MAX_SPINNING_S:
                raise SpinningError(f"{self.polls} polls of a connection that has ended")
            time.sleep(0.001)

    def _receive(self, count: int) -> bytes:
        assert self._socket is not None
        payload = b""
        while len(payload) < count:
            part = self._socket.recv(count - len(payload))
            if not part:
                raise ConnectionError("the stream ended inside a reply")
            payload += part
        if not payload:
            raise ConnectionError("an empty reply is taken for the stream's end")
        return payload


def _framed(payload: bytes) -> bytes:
    return b"%d %b" % (len(payload), payload)
