"""`python -m benchmarks.gateway.rates [--checkpoint PATH]`: what the way through the gateway costs.

Requests/s and latencies through the gateway's ports against gRPC straight to the same Triton. The gateway
hands it frames through shared memory, or over the connection where a way says so. All ways take turns, so
that a change of the machine's speed affects all of them. Triton, the gateways and every client are separate
processes on the same cores. Without a checkpoint, Triton serves a model that answers at once; with one, the
exported checkpoint.
"""

import os
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import zmq

from benchmarks.command import measurement_options, progress, run_command, spread, use_cores
from benchmarks.gateway.load import LoadClients
from benchmarks.gateway.models import Served, served_model
from benchmarks.gateway.process import (
    OVER_CONNECTION,
    SHARING,
    TWO_WORKERS,
    RunningGateway,
    Variant,
    running_gateway,
)
from benchmarks.gateway.ways import (
    Connect,
    LoadError,
    direct_grpc,
    prebuilt_grpc,
    tcp_bizhawk,
    tcp_json,
    web_openpi,
    web_play,
    zmq_msgpack,
    zmq_pickle,
)
from benchmarks.turns import rotated


@dataclass(frozen=True)
class Way:
    """A way to the model through one of the gateways.

    Attributes:
        goes_direct: past all of them.
    """

    name: str
    connect: Connect
    variant: Variant = SHARING
    goes_direct: bool = False


DIRECT = Way("gRPC, direct", direct_grpc, goes_direct=True)
PREBUILT = Way("gRPC, direct, request made once", prebuilt_grpc, goes_direct=True)
ZMQ_PICKLE = Way("ZMQ, pickle", zmq_pickle)
ZMQ_MSGPACK = Way("ZMQ, msgpack", zmq_msgpack)
TCP_JSON = Way("TCP, JSON + raw", tcp_json)
TCP_BIZHAWK = Way("TCP, BizHawk's PNG", tcp_bizhawk)
WEB_PLAY = Way("web, /play, RGBA", web_play)
WEB_OPENPI = Way("web, openpi", web_openpi)
ALL_WAYS = (
    *(DIRECT, PREBUILT, ZMQ_PICKLE, ZMQ_MSGPACK, TCP_JSON, TCP_BIZHAWK, WEB_PLAY, WEB_OPENPI),
    Way("ZMQ, pickle, over the connection", zmq_pickle, OVER_CONNECTION),
    Way("ZMQ, msgpack, over the connection", zmq_msgpack, OVER_CONNECTION),
    Way("TCP, JSON + raw, over the connection", tcp_json, OVER_CONNECTION),
    Way("ZMQ, pickle, 2 workers", zmq_pickle, TWO_WORKERS),
    Way("TCP, JSON + raw, 2 workers", tcp_json, TWO_WORKERS),
)
PLAIN_WAYS = (DIRECT, ZMQ_PICKLE, ZMQ_MSGPACK, TCP_JSON)


@dataclass(frozen=True)
class Gateways:
    """The gateways of several variants in front of one Triton; those that failed, with why."""

    running: Mapping[Variant, RunningGateway]
    failures: Mapping[Variant, str]


@dataclass(frozen=True)
class Figures:
    """One way with one number of clients in one round; the gateway's CPU time is per request."""

    requests_per_s: float
    p50_ms: float
    p99_ms: float
    gateway_cpu_ms: float


Figure = Callable[[Figures], float]


@dataclass(frozen=True)
class Throughput:
    """Each way's rounds with one number of clients; round i of all ways took place in the same minute.

    Attributes:
        failures: the ways that could not be measured, with why.
    """

    clients: int
    rounds: Mapping[Way, Sequence[Figures]]
    failures: Mapping[Way, str]

    def median(self, way: Way, figure: Figure) -> float:
        """Return a figure's median over the rounds."""
        return statistics.median(map(figure, self.rounds[way]))

    def ratios(self, way: Way, figure: Figure) -> list[float]:
        """Return a figure relative to direct gRPC's in the same round, for each round."""
        return [
            figure(own) / figure(direct)
            for own, direct in zip(self.rounds[way], self.rounds[DIRECT], strict=True)
        ]

    def ratio(self, way: Way, figure: Figure) -> float:
        """Return the median of `ratios`."""
        return statistics.median(self.ratios(way, figure))

    def spread(self, way: Way) -> float:
        """Return the spread of the rounds' rates, relative to their median."""
        return spread([figures.requests_per_s for figures in self.rounds[way]])


@contextmanager
def running_gateways(served: Served, ways: Sequence[Way]) -> Iterator[Gateways]:
    """Run the gateways that some ways need, all in front of the same Triton."""
    running, failures = {}, {}
    with ExitStack() as stack:
        for variant in dict.fromkeys(way.variant for way in ways):
            try:
                running[variant] = stack.enter_context(
                    running_gateway(served.model, [served.grpc_port], variant)
                )
            except LoadError as error:
                failures[variant] = str(error)
        yield Gateways(running, failures)


def usable(gateways: Gateways, ways: Sequence[Way]) -> tuple[list[Way], dict[Way, str]]:
    """Return the ways that answer a request, and why each of the others does not."""
    answered, failures = [], {}
    for way in ways:
        if way.variant in gateways.failures:
            failures[way] = gateways.failures[way.variant]
            continue
        try:
            with way.connect(gateways.running[way.variant].endpoints) as ask:
                ask()
        except (LoadError, OSError, zmq.ZMQError, ValueError) as error:
            failures[way] = str(error) or repr(error)
        else:
            answered.append(way)
    return answered, failures


def measure_throughput(
    gateways: Gateways, ways: Sequence[Way], clients: int, rounds: int, seconds: float
) -> Throughput:
    """Measure each way, direct gRPC among them, `rounds` times for some seconds, taking turns.

    Raises:
        LoadError: a client did not get its actions in the course of it.
    """
    answered, failures = usable(gateways, ways)
    figures: dict[Way, list[Figures]] = {way: [] for way in answered}
    with LoadClients(clients) as load:
        for number in range(rounds):
            for way in rotated(answered, number):
                gateway = gateways.running[way.variant]
                connected = load.connect(way.connect, gateway.endpoints, clients)
                cpu_s = gateway.cpu_s()
                measured = connected.measure(seconds)
                cpu_ms = 0.0 if way.goes_direct else 1000 * (gateway.cpu_s() - cpu_s) / measured.requests
                connected.leave()
                figures[way].append(
                    Figures(measured.requests_per_s, measured.p50_ms, measured.p99_ms, cpu_ms)
                )
    return Throughput(clients, figures, failures)


def main() -> int:
    """Print the table."""
    parser = measurement_options(__doc__, seconds=2.0, rounds=3)
    parser.add_argument("--checkpoint", type=Path, help="an ng.pt file to export and measure")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument(
        "--only",
        default="",
        metavar="WORD",
        help="measure only the ways whose name holds this, and direct gRPC",
    )
    parser.add_argument(
        "--workers", type=int, nargs="*", default=[], help="more gateways, each with this many workers"
    )
    options = parser.parse_args()
    load_average, cores = os.getloadavg()[0], use_cores(options.cores)
    every_way = (*ALL_WAYS, *(way for count in options.workers for way in _by_workers(count)))
    ways = [way for way in every_way if way is DIRECT or options.only in way.name]
    print(
        f"model: {options.checkpoint or 'identity'}; {options.rounds} rounds of {options.seconds:g} s; "
        f"{cores} cores; load average before: {load_average:.1f}\n"
        f"{'clients':>7}  {'way':<37}{'requests/s':>11}{'ratio':>7}{'spread':>8}"
        f"{'p50 ms':>8}{'ratio':>7}{'p99 ms':>8}{'ratio':>7}{'gateway CPU ms':>16}"
    )
    failures: dict[Way, str] = {}
    with served_model(options.checkpoint) as served, running_gateways(served, ways) as gateways:
        for clients in options.clients:
            throughput = measure_throughput(gateways, ways, clients, options.rounds, options.seconds)
            failures.update(throughput.failures)
            for way in throughput.rounds:
                print(_row(throughput, way), flush=True)
    print("p50, p99 and the gateway's CPU time: per request. All figures: the median over the rounds.")
    print("ratio: to direct gRPC in the same round; spread: from the slowest round's rate to the fastest's.")
    for way, problem in failures.items():
        progress(f"{way.name} failed: {problem}")
    return 1 if failures else 0


def _by_workers(count: int) -> list[Way]:
    """Return the ways through a gateway with `count` workers."""
    variant = Variant(f"{count} workers", (f"--workers={count}",), processes=count)
    return [Way(f"{way.name}, {variant.name}", way.connect, variant) for way in (ZMQ_PICKLE, TCP_JSON)]


def _row(throughput: Throughput, way: Way) -> str:
    def both(figure: Figure, form: str) -> str:
        return f"{throughput.median(way, figure):{form}}{throughput.ratio(way, figure):>7.2f}"

    return (
        f"{throughput.clients:>7}  {way.name:<37}"
        f"{both(lambda one: one.requests_per_s, '>11.1f')}{throughput.spread(way):>8.0%}"
        f"{both(lambda one: one.p50_ms, '>8.2f')}{both(lambda one: one.p99_ms, '>8.2f')}"
        f"{'' if way.goes_direct else f'{throughput.median(way, lambda one: one.gateway_cpu_ms):.2f}':>16}"
    )


if __name__ == "__main__":
    run_command(main)
