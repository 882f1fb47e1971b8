"""Both clients behind one face, so that a test of what they share runs with each."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from nitrogen_client import AsyncModelClient, ModelClient, Prediction


class WaitingClient:
    """An `AsyncModelClient` that is used as if it were a `ModelClient`."""

    def __init__(self, **arguments: Any) -> None:  # noqa: ANN401
        self._loop = asyncio.new_event_loop()
        self._client = AsyncModelClient(**arguments)

    def predict(self, image: object, **options: Any) -> Prediction:  # noqa: ANN401
        return self._loop.run_until_complete(self._client.predict(image, **options))

    def reset(self, **options: Any) -> None:  # noqa: ANN401
        self._loop.run_until_complete(self._client.reset(**options))

    def info(self, **options: Any) -> dict[str, Any]:  # noqa: ANN401
        return self._loop.run_until_complete(self._client.info(**options))

    def close(self) -> None:
        self._loop.run_until_complete(self._client.close())
        # pyzmq hands its sockets back to the loop in a callback of its own.
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()


MakeClient = Callable[..., Any]
KINDS = pytest.mark.parametrize("kind", [ModelClient, WaitingClient], ids=["sync", "asyncio"])


@contextlib.contextmanager
def connected(kind: Callable[..., Any], port: int, **arguments: Any) -> Iterator[Any]:  # noqa: ANN401
    """A client of a port of this machine, closed afterwards; calls end after 10 s unless told otherwise."""
    client = kind(host="127.0.0.1", port=port, **{"timeout_s": 10.0, **arguments})
    try:
        yield client
    finally:
        client.close()
