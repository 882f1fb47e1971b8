"""Which error of the client's an error reply becomes."""

from __future__ import annotations

from typing import Any

from nitrogen_client.errors import (
    BadRequestError,
    ModelTooSlowError,
    ModelUnavailableError,
    ProtocolError,
    ServerBusyError,
    ServerError,
    ServerStoppingError,
)

# A gateway's word for programs, the field "cause".
_CAUSES: dict[str, type[ServerError]] = {
    "bad_request": BadRequestError,
    "unsafe_pickle": BadRequestError,
    "bad_image": BadRequestError,
    "bad_framing": BadRequestError,
    "refused": BadRequestError,
    "busy": ServerBusyError,
    "deadline": ModelTooSlowError,
    "triton_unavailable": ModelUnavailableError,
    "model_error": ModelUnavailableError,
    "stopping": ServerStoppingError,
    "error": ServerError,
    "internal": ServerError,
}
# Older gateways send only texts. These are parts of them; the first that fits counts. All others are the
# request's fault.
_TEXTS: tuple[tuple[str, type[ServerError]], ...] = (
    ("gateway is stopping", ServerStoppingError),
    ("the gateway is busy with", ServerBusyError),
    ("of your requests are in flight", ServerBusyError),
    ("has as many requests waiting as it takes", ServerBusyError),
    ("no answer within", ModelTooSlowError),
    ("internal error;", ServerError),
)
_MAX_SHOWN = 4000
_TRITON = ("Triton", "the call to Triton", "the certificate of Triton")


def check_status(fields: dict[str, Any], *, is_gateway: bool) -> None:
    """Raise the error that a reply tells of, if it does.

    Args:
        fields: those of the reply.
        is_gateway: whether the server is a gateway for sure. One of the older kind does not tell whose fault
            an error is.

    Raises:
        ServerError: the server's own error, of the class that fits its cause.
        ProtocolError: the reply has no status.
    """
    status = _text(fields.get("status"))
    if status == "ok":
        return
    if status != "error":
        raise ProtocolError(f"the reply has an unknown status, {status[:60]!r}")
    message = _shown(fields.get("message", "Unknown error"))
    cause = fields.get("cause")
    if isinstance(cause, str):
        # A cause that is not known yet is a newer gateway's, and nobody's fault for sure.
        raise _CAUSES.get(cause, ServerError)(message)
    for text, error in _TEXTS:
        if text in message:
            raise error(message)
    if message.startswith(_TRITON):
        raise ModelUnavailableError(message)
    raise (BadRequestError if is_gateway else ServerError)(message)


def _shown(message: object) -> str:
    """Return a server's text as it may be shown: of some length, and without what a terminal acts upon."""
    text = _text(message)[:_MAX_SHOWN]
    return text if text.isprintable() else repr(text)[1:-1]


def _text(value: object) -> str:
    """Return a text as it is, and the type's name of anything else, which may be too large to be shown."""
    return value if isinstance(value, str) else f"a {type(value).__name__}"
