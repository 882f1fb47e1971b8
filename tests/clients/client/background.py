"""Gateways, and the timed Triton, beside tests that wait for their client: in an event loop of a thread."""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from gateway.server import Gateway
from tests.gateways import local_settings
from tests.patience import WITHIN_S
from tests.stand_ins.timed_triton import TimedTriton

Result = TypeVar("Result")

# Nobody listens there, so each try is refused at once.
_NO_TRITON = "127.0.0.1:1"


class Background:
    """An event loop in a thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run a coroutine there; its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(WITHIN_S)

    def close(self) -> None:
        """End the loop and its thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WITHIN_S)
        self._loop.close()


@contextmanager
def background() -> Iterator[Background]:
    """An event loop in a thread, ended afterwards."""
    loop = Background()
    try:
        yield loop
    finally:
        loop.close()


@contextmanager
def timed_triton_in(loop: Background, folder: Path, instances: int = 3) -> Iterator[TimedTriton]:
    """A Triton that serves the timed model, and a second model of the same kind, named `other`."""
    triton = TimedTriton(folder, instances, loaded=("nitrogen", "other"))
    try:
        loop.run(triton.start())
        yield triton
    finally:
        loop.run(triton.kill())


@contextmanager
def gateway_in(loop: Background, **settings: Any) -> Iterator[Gateway]:  # noqa: ANN401
    """A gateway with a test's settings, on ports of its own unless they say otherwise."""
    gateway = Gateway(local_settings(**settings))
    loop.run(gateway.start())
    try:
        yield gateway
    finally:
        loop.run(gateway.stop())
