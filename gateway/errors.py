"""The gateway's errors, one class per cause; each message says what was wrong and what to do.

    GatewayError
    ├── RequestError            the client's request cannot be answered; the client can fix it
    │   ├── UnsafePickleError   a pickle that names something outside the allow-list
    │   ├── ImageError          image bytes that cannot be used
    │   ├── AccessError         the client may not use the gateway (token, network, connections)
    │   └── FramingError        a byte stream whose next message cannot be found (reply, then close)
    │       └── ForeignError    a byte stream of another protocol, which came to the wrong port
    ├── ServerError             the request was fine; the gateway or Triton could not answer it
    │   ├── TritonUnavailableError
    │   │   ├── NotServedError  Triton does not serve the model, or no longer the version asked for
    │   │   └── StoppingError   the gateway is stopping, and closes its connection to Triton
    │   ├── DeadlineError
    │   ├── BusyError           too many requests are in flight
    │   └── ModelError          Triton's answer breaks the model's contract
    └── StartError              the gateway cannot start (a port in use, a wrong setting)

`outcome` is the value of the metrics' outcome label; `cause` is the word that clients of port 5555 get with
the text.
"""


class GatewayError(Exception):
    """Base of every error that the gateway raises on purpose; its text goes to the client."""

    outcome = "error"

    @property
    def cause(self) -> str:
        """Why there is an error, for programs; the outcome, unless a class knows more."""
        return self.outcome


class RequestError(GatewayError):
    """The request cannot be answered as it is; the client has to change it."""

    outcome = "bad_request"


class UnsafePickleError(RequestError):
    """The pickle needs something that is not on the allow-list, so it was not built."""

    outcome = "unsafe_pickle"


class ImageError(RequestError):
    """The image's bytes cannot be decoded, or its size or type is not accepted."""

    outcome = "bad_image"


class FramingError(RequestError):
    """The position in the byte stream is lost: the connection is closed after the error reply."""

    outcome = "bad_framing"


class ForeignError(FramingError):
    """The byte stream is another protocol's: its client came to the wrong port."""


class AccessError(RequestError):
    """The client may not use the gateway: its connection is closed after the error reply."""

    outcome = "refused"


class ServerError(GatewayError):
    """The request was fine but could not be answered; the client may send it again."""


class TritonUnavailableError(ServerError):
    """Triton cannot be reached, or does not serve the model."""

    outcome = "triton_unavailable"


class NotServedError(TritonUnavailableError):
    """Triton refused the request unread: it does not serve the model, or not the facts' version any more."""


class StoppingError(TritonUnavailableError):
    """The gateway is stopping; it, or another one, may be back in a moment."""

    @property
    def cause(self) -> str:
        """Tell programs that the gateway stops, where the outcome would blame Triton."""
        return "stopping"


class DeadlineError(ServerError):
    """The answer did not come within the port's deadline."""

    outcome = "deadline"


class BusyError(ServerError):
    """More requests are in flight than the gateway works on at once; the client may send it again soon."""

    outcome = "busy"


class ModelError(ServerError):
    """Triton's model has inputs or outputs, or gave values, that the gateway cannot use."""

    outcome = "model_error"


class StartError(GatewayError):
    """The gateway cannot start; the message names the setting to change."""
