"""`python -m benchmarks.gateway [--checkpoint PATH]`: what the way through the gateway costs.

Requests/s and latencies through the gateway's two ports against gRPC straight to the same Triton. The three
take turns, so that a change of the machine's speed meets all of them. Triton, the gateway and every client
are processes of their own, on the same cores. Without a checkpoint, Triton serves a model that answers at
once; with one, the exported checkpoint.
"""

import argparse
import asyncio
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

from google.protobuf import text_format
from prometheus_client.parser import text_string_to_metric_families
from tritonclient.grpc import model_config_pb2

from benchmarks.direct import running_triton
from benchmarks.load import HOST, WAYS, Endpoints, LoadClients, LoadError, Measured
from standalone import keeper
from standalone.errors import StandaloneError
from standalone.ports import require_free_port
from standalone.published import Wanted, publish

DIRECT = next(iter(WAYS))
IDENTITY_MODEL = Path(__file__).parent / "identity_model" / "model.py"
CONFIG = Path(__file__).parents[1] / "model_repository" / "nitrogen" / "config.pbtxt"
READY_WITHIN_S = 30


@dataclass(frozen=True)
class Figures:
    """One way with one number of clients in one round."""

    requests_per_s: float
    p50_ms: float
    p99_ms: float
    gateway_cpu_ms: float


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", type=Path, help="an ng.pt file to export and measure")
    parser.add_argument("--seconds", type=float, default=2.5, help="length of one measurement")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each kind")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
            _benchmark(options, Path(folder))
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except (LoadError, StandaloneError) as error:
        sys.exit(str(error))


def _benchmark(options: argparse.Namespace, folder: Path) -> None:
    load_average = os.getloadavg()[0]
    repository = folder / "repository"
    if options.checkpoint is None:
        model = _publish_identity_model(repository)
    else:
        model = asyncio.run(publish(Wanted(str(options.checkpoint)), repository)).model_name
    with (
        running_triton(folder, [model]) as triton_port,
        _running_gateway(triton_port, model) as gateway,
        LoadClients(
            max(options.clients), Endpoints(model, triton_port, gateway.zmq_port, gateway.tcp_port)
        ) as load,
    ):
        print(
            f"model: {options.checkpoint or 'identity'}; {options.rounds} rounds of {options.seconds:g} s; "
            f"{os.cpu_count()} cores; load average before: {load_average:.1f}"
        )
        print(
            f"{'clients':>7}  {'way':<16} {'requests/s':>10} {'ratio':>6} {'spread':>7}"
            f"{'p50 ms':>9} {'ratio':>6} {'p99 ms':>9} {'ratio':>6} {'gateway CPU ms':>16}"
        )
        for clients in options.clients:
            rounds = [_round(load, gateway, clients, options.seconds) for _ in range(options.rounds)]
            for way in WAYS:
                print(_row(clients, way, rounds), flush=True)
    print("p50, p99 and the gateway's CPU time: per request. All figures: the median over the rounds.")
    print("ratio: to direct gRPC in the same round; spread: from the slowest round's rate to the fastest's.")


def _round(load: LoadClients, gateway: "RunningGateway", clients: int, seconds: float) -> dict[str, Figures]:
    """Each way once."""
    figures = {}
    for way in WAYS:
        load.connect(way, clients)
        cpu_s = gateway.cpu_s()
        measured = load.measure(seconds)
        figures[way] = _figures(measured, gateway.cpu_s() - cpu_s)
    return figures


def _figures(measured: list[Measured], gateway_cpu_s: float) -> Figures:
    latencies = sorted(latency for one in measured for latency in one.latencies_s)
    return Figures(
        requests_per_s=sum(one.requests_per_s for one in measured),
        p50_ms=1000 * statistics.median(latencies),
        p99_ms=1000 * latencies[len(latencies) * 99 // 100],
        gateway_cpu_ms=1000 * gateway_cpu_s / len(latencies),
    )


def _row(clients: int, way: str, rounds: list[dict[str, Figures]]) -> str:
    def median(figure: Callable[[Figures], float]) -> float:
        return statistics.median(figure(figures[way]) for figures in rounds)

    def ratio(figure: Callable[[Figures], float]) -> float:
        return statistics.median(figure(figures[way]) / figure(figures[DIRECT]) for figures in rounds)

    rate, p50_ms, p99_ms, cpu_ms = map(attrgetter, ("requests_per_s", "p50_ms", "p99_ms", "gateway_cpu_ms"))
    rates = [figures[way].requests_per_s for figures in rounds]
    spread = (max(rates) - min(rates)) / median(rate)
    return (
        f"{clients:>7}  {way:<16} {median(rate):>10.1f} {ratio(rate):>6.2f} {spread:>7.0%}"
        f"{median(p50_ms):>9.2f} {ratio(p50_ms):>6.2f} {median(p99_ms):>9.2f} {ratio(p99_ms):>6.2f}"
        f"{'' if way == DIRECT else f'{median(cpu_ms):.2f}':>17}"
    )


def _publish_identity_model(repository: Path) -> str:
    """Write the model that answers at once: the repository's own config with another backend; its name."""
    config = text_format.Parse(CONFIG.read_text(encoding="utf-8"), model_config_pb2.ModelConfig())
    config.backend = "python"
    config.instance_group[0].kind = model_config_pb2.ModelInstanceGroup.KIND_CPU
    version = repository / config.name / "1"
    version.mkdir(parents=True)
    shutil.copy(IDENTITY_MODEL, version)
    (version.parent / "config.pbtxt").write_text(text_format.MessageToString(config), encoding="utf-8")
    return str(config.name)


@dataclass(frozen=True)
class RunningGateway:
    """A `python -m gateway` and its ports."""

    zmq_port: int
    tcp_port: int
    http_port: int

    def is_ready(self) -> bool:
        """Whether the gateway would answer a request with actions."""
        try:
            return bool(self._get("readyz"))
        except urllib.error.URLError:
            return False

    def cpu_s(self) -> float:
        """Seconds of CPU time that the gateway has used."""
        for family in text_string_to_metric_families(self._get("metrics")):
            for sample in family.samples:
                if sample.name == "process_cpu_seconds_total":
                    return float(sample.value)
        raise LookupError("the gateway's metrics have no process_cpu_seconds_total")

    def _get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://{HOST}:{self.http_port}/{path}", timeout=5) as response:
            return str(response.read(), "utf-8")


@contextmanager
def _running_gateway(triton_port: int, model: str) -> Iterator[RunningGateway]:
    """Start a gateway, wait until it is ready, and end it with this process, however this ends."""
    zmq_port, tcp_port, http_port = (require_free_port(HOST, 0, "") for _ in range(3))
    gateway = RunningGateway(zmq_port, tcp_port, http_port)
    command = [
        *(
            sys.executable,
            "-m",
            "gateway",
            f"--triton={HOST}:{triton_port}",
            f"--model={model}",
            f"--host={HOST}",
        ),
        *(
            f"--zmq-port={zmq_port}",
            f"--tcp-port={tcp_port}",
            f"--http-port={http_port}",
            "--log-level=error",
        ),
    ]
    keeping = [sys.executable, keeper.__file__, f"nitrogen_gateway_{os.getpid()}_", "", "5"]
    process = subprocess.Popen(
        [*keeping, *command], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True
    )
    try:
        give_up = time.monotonic() + READY_WITHIN_S
        while not gateway.is_ready():
            if process.poll() is not None or time.monotonic() > give_up:
                raise SystemExit("the gateway did not become ready")
            time.sleep(0.1)
        yield gateway
    finally:
        process.communicate()  # closes its standard input, the keeper's sign to end


if __name__ == "__main__":
    main()
