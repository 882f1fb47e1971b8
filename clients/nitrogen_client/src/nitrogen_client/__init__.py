"""Clients for NitroGen servers: `ModelClient` and, for asyncio, `AsyncModelClient`.

    with ModelClient("server", 5555) as client:
        actions = client.predict(frame)  # {"j_left": (T, 2), "j_right": (T, 2), "buttons": (T, 21)}

`errors` has the tree of what they raise.
"""

from nitrogen_client.async_client import AsyncModelClient
from nitrogen_client.client import ModelClient
from nitrogen_client.errors import (
    AccessRefusedError,
    ArgumentError,
    BadRequestError,
    ClientClosedError,
    ConnectionFailedError,
    ConnectionLostError,
    ImageError,
    KeyFileError,
    ModelTooSlowError,
    ModelUnavailableError,
    NitrogenError,
    ProtocolError,
    ReplyTimeoutError,
    ServerBusyError,
    ServerError,
    ServerStoppingError,
    UnsupportedError,
)
from nitrogen_client.options import UNSET
from nitrogen_client.prediction import Prediction, Timing

__all__ = [
    "UNSET",
    "AccessRefusedError",
    "ArgumentError",
    "AsyncModelClient",
    "BadRequestError",
    "ClientClosedError",
    "ConnectionFailedError",
    "ConnectionLostError",
    "ImageError",
    "KeyFileError",
    "ModelClient",
    "ModelTooSlowError",
    "ModelUnavailableError",
    "NitrogenError",
    "Prediction",
    "ProtocolError",
    "ReplyTimeoutError",
    "ServerBusyError",
    "ServerError",
    "ServerStoppingError",
    "Timing",
    "UnsupportedError",
]

__version__ = "0.3.0"
