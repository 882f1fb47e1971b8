"""Gateways of a test's own, on a port that it names, before the shared stack's Triton."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.stack import Stack, free_port, wait_until


@contextmanager
def gateway_at(port: int, stack: Stack, *flags: str) -> Iterator[subprocess.Popen[bytes]]:
    """A gateway process whose TCP port this is; terminated at the end, where it still runs."""
    command = [sys.executable, "-m", "gateway", "--host=127.0.0.1", f"--tcp-port={port}"]
    command += [f"--triton=127.0.0.1:{stack.triton_grpc_port}"]
    command += [f"--zmq-port={free_port()}", f"--http-port={free_port()}"]
    process = subprocess.Popen([*command, *flags])
    try:
        wait_until(lambda: _is_open(port), 30, "the gateway listens")
        yield process
    finally:
        process.terminate()
        process.wait(20)


def _is_open(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
