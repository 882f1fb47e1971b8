"""A network with nothing in it but its loopback interface, for programs that use well-known ports."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

# `ip link set lo up`, without the program ip.
_LOOPBACK_UP = """
import fcntl, socket, struct
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
    IFF_UP_AND_RUNNING, SIOCSIFFLAGS = 0x41, 0x8914
    fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP_AND_RUNNING))
print("up", flush=True)
input()
"""


@contextmanager
def own_network(python: str) -> Iterator[list[str]]:
    """Make a network; yield the words that start a command in it."""
    keeper = ["unshare", "--map-root-user", "--net", python, "-c", _LOOPBACK_UP]
    with subprocess.Popen(keeper, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        inside = ["nsenter", f"--target={process.pid}", "--user", "--net", "--preserve-credentials", "--"]
        try:
            yield inside
        finally:
            process.kill()
