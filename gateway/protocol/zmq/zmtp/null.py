"""ZMTP's handshake without security: each side says READY and introduces itself."""

from gateway.protocol.zmq.zmtp.errors import PeerError
from gateway.protocol.zmq.zmtp.frames import (
    SHOWN_BYTES,
    Introduction,
    command,
    introduction,
    metadata,
    split_command,
)

# A ROUTER's introduction.
OURS = metadata(Socket_Type=b"ROUTER", Identity=b"")


class NullMechanism:
    """One connection's handshake; `peer` introduces the other side, once `is_ready`."""

    name = b"NULL"
    seals = False
    key = b""

    def __init__(self) -> None:
        self.is_ready = False
        self.peer = Introduction()

    def answer(self, body: bytes) -> bytes:
        """Return what to send to a peer's command.

        Raises:
            PeerError: the command does not belong to the handshake.
            IdentityError: the peer chose an identity that is not allowed.
        """
        name, data = split_command(body)
        if name != b"READY":
            raise PeerError(f"its handshake begins with {name[:SHOWN_BYTES]!r}")
        self.peer = introduction(data)
        self.is_ready = True
        return command(b"READY", OURS)

    def opened(self, flags: int, body: bytes | bytearray) -> tuple[int, bytes | bytearray]:
        """Return a frame that came, as it is."""
        return flags, body

    def sealed(self, flags: int, body: bytes) -> tuple[int, bytes]:
        """Return a frame to send, as it is."""
        return flags, body
