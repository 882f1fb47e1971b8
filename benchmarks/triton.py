"""A Triton for one measurement."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from standalone.triton_server import TritonPorts, local_triton
from tests.stack import free_port


@contextmanager
def running_triton(folder: Path, models: list[str]) -> Iterator[int]:
    """Serve models of `folder`/repository; the port of Triton's gRPC service on `HOST`."""
    ports = TritonPorts(*(free_port() for _ in range(3)))
    triton = local_triton(folder / "repository", models, ports, folder)
    with asyncio.Runner() as runner:
        try:
            runner.run(triton.start())
            yield ports.grpc
        finally:
            runner.run(triton.stop())
