"""Why a ZeroMQ peer's connection ends, one class per cause.

    FramingError
    └── PeerError                 the peer's bytes are not ZeroMQ's protocol, or the wrong side of it
        ├── StrangerError         it does not begin as ZeroMQ peers do, or is too old
        ├── FrameError            a frame after the handshake is wrong
        ├── KeyMismatchError      its keys and the gateway's do not match
        │   └── UnknownKeyError   its key may not connect
        └── IdentityError         it chose an identity that is not allowed

`reason` is the metrics' word for the cause.
"""

from gateway.errors import FramingError


class PeerError(FramingError):
    """The bytes are not a ZeroMQ client's.

    Attributes:
        is_told: whether the peer gets an error first. libzmq then gives up, and sending blocks.
    """

    reason = "handshake"
    is_told = False


class StrangerError(PeerError):
    """The bytes do not begin as ZeroMQ's protocol does, or its version is too old."""


class FrameError(PeerError):
    """A frame after the handshake breaks the protocol or its limits."""

    reason = "frames"


class KeyMismatchError(PeerError):
    """The peer's keys do not match the gateway's, or one of the two has none."""

    reason = "key"


class UnknownKeyError(KeyMismatchError):
    """The peer's key is not one of those that may connect."""

    is_told = True


class IdentityError(PeerError):
    """The peer chose an identity that is not allowed."""

    reason = "identity"
