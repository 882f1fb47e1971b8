"""Why a ZeroMQ peer's connection ends, one class per cause.

    FramingError
    └── PeerError                 what came is not ZeroMQ's protocol, or not this side of it
        ├── StrangerError         it begins as no peer does that can be spoken to
        ├── FrameError            the same, after the handshake
        ├── KeyMismatchError      its keys and the gateway's do not fit
        │   └── UnknownKeyError   its key is not one of those that may come in
        └── IdentityError         it chose an identity that is not taken

`reason` is the metrics' word for it.
"""

from gateway.errors import FramingError


class PeerError(FramingError):
    """The bytes are not what a ZeroMQ client says.

    Attributes:
        is_told: whether the peer hears of it before the end. libzmq then gives up, and its sending blocks.
    """

    reason = "handshake"
    is_told = False


class StrangerError(PeerError):
    """The bytes do not begin as ZeroMQ's protocol does, or as too old a version of it."""


class FrameError(PeerError):
    """Frames after the handshake that break the protocol or go beyond its limits."""

    reason = "frames"


class KeyMismatchError(PeerError):
    """The peer's keys do not fit the gateway's, or one of the two has none."""

    reason = "key"


class UnknownKeyError(KeyMismatchError):
    """The peer's key is not one of those that may come in."""

    is_told = True


class IdentityError(PeerError):
    """The peer chose an identity that is not taken."""

    reason = "identity"
