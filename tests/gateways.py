"""Gateways of a test's own, on ports of their own: in the test's process, or in one that it can kill."""

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

from gateway.server import Gateway
from gateway.settings import GatewaySettings
from tests.first_words import ends_if_silent
from tests.patience import WITHIN_S
from tests.stack import free_port

# Nobody listens there, so that each try is refused at once; `reset` works and nothing else.
NO_TRITON = "127.0.0.1:1"


def local_settings(**settings: Any) -> GatewaySettings:  # noqa: ANN401
    """Settings for this machine, with ports that the kernel chooses and no Triton unless they are named."""
    ports = {"zmq_port": 0, "tcp_port": 0, "web_port": 0, "http_port": 0, "host": "127.0.0.1"}
    return GatewaySettings(**{"triton": NO_TRITON, **ports, **settings})


@asynccontextmanager
async def running_gateway(**settings: Any) -> AsyncIterator[Gateway]:  # noqa: ANN401
    """A gateway in this process."""
    gateway = Gateway(local_settings(**settings))
    await gateway.start()
    try:
        yield gateway
    finally:
        await gateway.stop()


@dataclass(frozen=True)
class GatewayProcess:
    """A `python -m gateway` and its ports; `first_line` is the first that it said."""

    process: subprocess.Popen[str]
    zmq: int
    tcp: int
    web: int
    http: int
    first_line: str

    def kill(self) -> None:
        """End it without a word, as the kernel does when memory runs out."""
        self.process.kill()
        self.process.wait(WITHIN_S)


@contextmanager
def gateway_process(
    triton: str,
    *flags: str,
    zmq: int | None = None,
    tcp: int | None = None,
    web: int | None = None,
    http: int | None = None,
) -> Iterator[GatewayProcess]:
    """Start a gateway and wait until its ports are open; it is terminated at the end, where it still runs."""
    ports = {"zmq": zmq, "tcp": tcp, "web": web, "http": http}
    ports = {name: port or free_port() for name, port in ports.items()}
    command = [sys.executable, "-m", "gateway", "--host=127.0.0.1", f"--triton={triton}"]
    command += [f"--{name}-port={port}" for name, port in ports.items()]
    with subprocess.Popen([*command, *flags], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            with ends_if_silent(process):
                first_line = process.stdout.readline()
            assert first_line, "the gateway did not start"
            yield GatewayProcess(process, **ports, first_line=first_line)
        finally:
            process.terminate()
            try:
                process.wait(WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
