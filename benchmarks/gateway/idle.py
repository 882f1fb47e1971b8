"""`python -m benchmarks.gateway.idle`: what 500 connections that do nothing cost those who play.

Eight active clients are measured alone and beside idle ones, half of them on each port; each idle one has
played once. The two take turns. The model answers at once.
"""

import resource
import statistics
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.connection import Connection

import zmq

from benchmarks.command import measurement_options, run_command, use_cores
from benchmarks.gateway.load import LoadClients, Rates, running_beside
from benchmarks.gateway.models import served_model
from benchmarks.gateway.process import RunningGateway, running_gateway
from benchmarks.gateway.rates import TCP_JSON, ZMQ_PICKLE, Way
from benchmarks.gateway.ways import Endpoints, LoadError, tcp_json, zmq_pickle

ACTIVE = 8
IDLE = 500
WAYS = (ZMQ_PICKLE, TCP_JSON)
_SETTLE_S = 0.3  # for the processes to come to rest before what follows is timed


@dataclass(frozen=True)
class BesideIdle:
    """The active clients of one way, alone and beside idle connections, round by round."""

    way: Way
    alone: Sequence[Rates]
    beside: Sequence[Rates]

    def p99_ratios(self) -> list[float]:
        """Return, for each round, the 99th percentile beside the idle ones relative to that alone."""
        return [beside.p99_ms / alone.p99_ms for alone, beside in zip(self.alone, self.beside, strict=True)]

    def p99_ratio(self) -> float:
        """Return the median of `p99_ratios`."""
        return statistics.median(self.p99_ratios())


def measure_beside_idle(
    gateway: RunningGateway, idle: int, rounds: int, seconds: float, active: int = ACTIVE
) -> list[BesideIdle]:
    """Measure `active` clients by each way, alone and beside `idle` connections, `rounds` times.

    Raises:
        LoadError: a client, or an idle connection at its one request, did not get its actions.
    """
    alone: dict[Way, list[Rates]] = {way: [] for way in WAYS}
    beside: dict[Way, list[Rates]] = {way: [] for way in WAYS}
    with LoadClients(active) as load:
        for number in range(rounds):
            # Every other round begins with the crowd, so that neither always comes first.
            for crowded in (False, True) if number % 2 == 0 else (True, False):
                with ExitStack() as stack:
                    if crowded:
                        stack.enter_context(running_beside(_hold, gateway.endpoints, idle))
                    time.sleep(_SETTLE_S)
                    for way in WAYS:
                        clients = load.connect(way.connect, gateway.endpoints, active)
                        (beside if crowded else alone)[way].append(clients.measure(seconds))
                        clients.leave()
    return [BesideIdle(way, alone[way], beside[way]) for way in WAYS]


def _hold(connection: Connection, endpoints: Endpoints, count: int) -> None:
    """Open `count` connections, half of them on each port, play once by each, and keep them until told."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with ExitStack() as stack:
        context = stack.enter_context(zmq.Context())
        context.set(zmq.MAX_SOCKETS, count + 10)
        try:
            for _ in range(count // 2):
                stack.enter_context(tcp_json(endpoints))()
            for _ in range(count - count // 2):
                stack.enter_context(zmq_pickle(endpoints, context))()
        except Exception as error:
            connection.send(LoadError(f"an idle connection failed: {error!r}"))
            return
        connection.send("ready")
        connection.poll(None)


def main() -> int:
    """Print the table."""
    parser = measurement_options(__doc__, seconds=2.5, rounds=5)
    parser.add_argument("--idle", type=int, default=IDLE, help="connections that do nothing")
    options = parser.parse_args()
    use_cores(options.cores)
    with (
        served_model(None) as served,
        running_gateway(served.model, [served.grpc_port]) as gateway,
    ):
        results = measure_beside_idle(gateway, options.idle, options.rounds, options.seconds)
    print(
        f"{'way':<20}{'alone: p50 ms':>14}{'p99 ms':>8}{'beside: p50 ms':>16}{'p99 ms':>8}{'p99 ratio':>11}"
    )
    for result in results:
        figures = [
            statistics.median(values)
            for values in (
                [one.p50_ms for one in result.alone],
                [one.p99_ms for one in result.alone],
                [one.p50_ms for one in result.beside],
                [one.p99_ms for one in result.beside],
            )
        ]
        print(
            f"{result.way.name:<20}{figures[0]:>14.2f}{figures[1]:>8.2f}{figures[2]:>16.2f}{figures[3]:>8.2f}"
            f"{result.p99_ratio():>11.2f}"
        )
    return 0


if __name__ == "__main__":
    run_command(main)
