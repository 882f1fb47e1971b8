"""A `python -m gateway` for one measurement: its ports, its processes, and the resources that they use."""

import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import tritonclient.grpc

from benchmarks.gateway.ways import HOST, Endpoints, LoadError, tcp_json
from standalone import keeper
from tests.processes import descendants
from tests.stack import free_port

READY_WITHIN_S = 30
# All clients come from one address here, up to 500 at once.
_MANY_CLIENTS = ("--max-clients=5000", "--max-connections-per-address=5000")


@dataclass(frozen=True)
class Variant:
    """A gateway with its own flags, and the proof that they took effect.

    Attributes:
        processes: how many it has at least.
        shares_memory: whether Triton then knows shared memory.
    """

    name: str
    flags: tuple[str, ...] = ()
    processes: int = 1
    shares_memory: bool = False


# In front of one Triton on this host, which gets frames through shared memory then.
PLAIN = Variant("")
SHARING = Variant("", shares_memory=True)
OVER_CONNECTION = Variant("over the connection", ("--no-triton-shared-memory",))
TWO_WORKERS = Variant("2 workers", ("--workers=2",), processes=2)


@dataclass(frozen=True)
class RunningGateway:
    """A gateway's ports, the process that keeps it, and the file with its errors."""

    endpoints: Endpoints
    http_port: int
    keeper_pid: int
    log: Path

    def is_ready(self) -> bool:
        """Return whether the gateway would answer a request with actions."""
        try:
            with urllib.request.urlopen(f"http://{HOST}:{self.http_port}/readyz", timeout=5) as response:
                return bool(response.read())
        except (urllib.error.URLError, OSError):
            return False

    def errors(self) -> list[str]:
        """Return the errors in the gateway's log; nothing that a client does may cause one."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return [line for line in lines if " ERROR " in line]

    def pids(self) -> list[int]:
        """Process ids of the gateway and its workers."""
        return [process.pid for process in descendants(self.keeper_pid)]

    def cpu_s(self) -> float:
        """Return seconds of CPU time that all of its processes have used."""
        ticks = 0
        for pid in self.pids():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def resident_bytes(self) -> int:
        """Return resident memory of all of its processes."""
        kilobytes = 0
        for pid in self.pids():
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith("VmRSS:"):
                    kilobytes += int(line.split()[1])
        return 1024 * kilobytes


@contextmanager
def running_gateway(
    model: str, triton_ports: Sequence[int], variant: Variant = PLAIN, flags: Sequence[str] = ()
) -> Iterator[RunningGateway]:
    """Start a gateway, wait until it is ready, and end it together with this process.

    Args:
        model: the default one.
        triton_ports: the gRPC ports of the Tritons behind it.
        variant: the way in which the gateway is run.
        flags: more of them.

    Raises:
        LoadError: it does not become ready, or does not do what the variant says.
    """
    zmq_port, tcp_port, web_port, http_port = (free_port() for _ in range(4))
    command = [
        *(sys.executable, "-m", "gateway", f"--model={model}", f"--host={HOST}", "--log-level=error"),
        f"--triton={','.join(f'{HOST}:{port}' for port in triton_ports)}",
        *(f"--zmq-port={zmq_port}", f"--tcp-port={tcp_port}", f"--web-port={web_port}"),
        f"--http-port={http_port}",
        *(*_MANY_CLIENTS, *variant.flags, *flags),
    ]
    keeping = [sys.executable, keeper.__file__, f"nitrogen_gateway_{os.getpid()}_", "", "5"]
    endpoints = Endpoints(model, triton_ports[0], zmq_port, tcp_port, web_port)
    with tempfile.NamedTemporaryFile(prefix="gateway-", suffix=".log") as log:
        process = subprocess.Popen(
            [*keeping, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=log,
            start_new_session=True,
        )
        gateway = RunningGateway(endpoints, http_port, process.pid, Path(log.name))
        try:
            _wait_until_ready(gateway, process, [*variant.flags, *flags])
            _require(variant, gateway)
            yield gateway
        finally:
            process.communicate()  # closes its standard input, the keeper's sign to end


def _wait_until_ready(
    gateway: RunningGateway, process: subprocess.Popen[bytes], flags: Sequence[str]
) -> None:
    give_up = time.monotonic() + READY_WITHIN_S
    while not gateway.is_ready():
        if process.poll() is not None or time.monotonic() > give_up:
            said = gateway.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            raise LoadError(
                f"the gateway did not become ready with {' '.join(flags) or 'no flags of its own'}: "
                f"{said[-1] if said else 'it said nothing'}"
            )
        time.sleep(0.1)


def _require(variant: Variant, gateway: RunningGateway) -> None:
    """Raise LoadError unless the gateway, after a request, does what the variant says."""
    with tcp_json(gateway.endpoints) as ask:
        ask()
    if len(gateway.pids()) < variant.processes:
        raise LoadError(f"the gateway has {len(gateway.pids())} process(es) with {variant.flags}")
    if variant.shares_memory:
        give_up = time.monotonic() + READY_WITHIN_S
        with tritonclient.grpc.InferenceServerClient(f"{HOST}:{gateway.endpoints.triton}") as client:
            while not client.get_system_shared_memory_status().regions:
                if time.monotonic() > give_up:
                    raise LoadError("Triton knows of no shared memory of the gateway's")
                time.sleep(0.05)
