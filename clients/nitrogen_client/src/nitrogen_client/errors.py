"""The client's errors, one class per cause; each message says what was wrong and what to do.

    NitrogenError (a RuntimeError)
    ├── ArgumentError           an argument is invalid (also a ValueError)
    │   ├── ImageError          the image cannot be sent
    │   └── KeyFileError        a key file cannot be used
    ├── UnsupportedError        the server is of the older kind and does not know what was asked for
    ├── ConnectionFailedError   no server was reached within the time (also a ConnectionError)
    │   ├── AccessRefusedError  the server does not let this client in
    │   └── ConnectionLostError the connection ended before the reply, more often than may be repeated
    ├── ReplyTimeoutError       the server was reached, and sent no reply in time (also a TimeoutError)
    ├── ProtocolError           the answer is not a reply
    ├── ClientClosedError       the client was used after `close`
    └── ServerError             the server answered with an error
        ├── BadRequestError     the request cannot be answered as it is: an unknown game or model, a bad image
        ├── ServerBusyError     too many requests are in flight
        ├── ServerStoppingError the gateway stops; another one, or the same, may be there in a moment
        ├── ModelTooSlowError   the server's own deadline passed before the model had answered
        └── ModelUnavailableError   Triton cannot be reached, or does not serve the model

`except RuntimeError` catches all of them, as it does with the reference's client.
"""

from __future__ import annotations


class NitrogenError(RuntimeError):
    """Base of all errors that the client raises on purpose."""


class ArgumentError(NitrogenError, ValueError):
    """An argument is invalid."""


class ImageError(ArgumentError):
    """The image cannot be sent: its type, dtype, shape or mode."""


class KeyFileError(ArgumentError):
    """A file of CURVE keys is missing or holds no key."""


class UnsupportedError(NitrogenError):
    """The server is of the older kind, which would ignore what was asked for."""


class ConnectionFailedError(NitrogenError, ConnectionError):
    """No server was reached within the time."""


class AccessRefusedError(ConnectionFailedError):
    """The server does not let this client in; its key or its address is not allowed."""


class ConnectionLostError(ConnectionFailedError):
    """The connection ended before the reply came, more often than the request may be sent again."""


class ReplyTimeoutError(NitrogenError, TimeoutError):
    """The server was reached, and its reply did not come in time; the next request may be sent at once."""


class ProtocolError(NitrogenError):
    """The answer is not a reply: torn, malformed or unsafe."""


class ClientClosedError(NitrogenError):
    """The client was used after it was closed."""


class ServerError(NitrogenError):
    """The server answered with an error; `server_message` is its own text."""

    def __init__(self, server_message: str) -> None:
        super().__init__(f"Server error: {server_message}")
        self.server_message = server_message

    def __reduce__(self) -> tuple[type[ServerError], tuple[str]]:
        """Make a copy from the server's text, when an error goes to another process."""
        return type(self), (self.server_message,)


class BadRequestError(ServerError):
    """The request cannot be answered as it is; the message says what is allowed."""


class ServerBusyError(ServerError):
    """Too many requests are in flight at the server; send again later."""


class ServerStoppingError(ServerError):
    """The gateway is stopping; another one, or the same, may be there in a moment."""


class ModelTooSlowError(ServerError):
    """The server's own deadline passed before the model had answered."""


class ModelUnavailableError(ServerError):
    """Triton cannot be reached, does not serve the model, or gave an output that cannot be used."""
