"""`python -m benchmarks.gateway.latency`: what the gateway adds to one client's latency.

Direct gRPC is measured before and after each slice of another way (A B A C A ...), and the slice's median is
compared with the mean of its two neighbours': a change of the machine's speed within seconds cancels out.
The model answers at once.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.command import measurement_options, run_command, use_cores
from benchmarks.gateway.load import LoadClients
from benchmarks.gateway.models import served_model
from benchmarks.gateway.rates import ALL_WAYS, DIRECT, Gateways, Way, running_gateways, usable
from benchmarks.turns import rotated


@dataclass(frozen=True)
class Added:
    """A way's median latency in each of the rounds, in milliseconds, and direct gRPC's beside it."""

    p50_ms: Sequence[float]
    direct_p50_ms: Sequence[float]

    @property
    def added_ms(self) -> list[float]:
        """The way's latency beyond direct gRPC, in each of the rounds."""
        return [own - direct for own, direct in zip(self.p50_ms, self.direct_p50_ms, strict=True)]

    @property
    def ratios(self) -> list[float]:
        """The way's latency relative to direct gRPC's, in each of the rounds."""
        return [own / direct for own, direct in zip(self.p50_ms, self.direct_p50_ms, strict=True)]

    def median_ms(self) -> float:
        """Return the median added latency over the rounds."""
        return statistics.median(self.added_ms)

    def quartiles_ms(self) -> tuple[float, float]:
        """Return the bounds of the middle half of the rounds."""
        low, _, high = statistics.quantiles(self.added_ms, n=4, method="inclusive")
        return low, high


@dataclass(frozen=True)
class AddedLatency:
    """Direct gRPC's median latency, and each way's.

    Attributes:
        failures: the ways that could not be measured.
    """

    direct_p50_ms: float
    ways: Mapping[Way, Added]
    failures: Mapping[Way, str]


def measure_added_latency(
    gateways: Gateways, ways: Sequence[Way], rounds: int, seconds: float
) -> AddedLatency:
    """Measure each way `rounds` times (two at least), in slices of some seconds, with one client.

    Raises:
        LoadError: a client did not get its actions in the course of it.
    """
    answered, failures = usable(gateways, [way for way in ways if way is not DIRECT])
    p50s: dict[Way, list[float]] = {way: [] for way in answered}
    beside: dict[Way, list[float]] = {way: [] for way in answered}
    direct: list[float] = []
    with LoadClients(1 + len(answered)) as load:
        clients = {
            way: load.connect(way.connect, gateways.running[way.variant].endpoints, 1)
            for way in (DIRECT, *answered)
        }
        for number in range(rounds):
            before = clients[DIRECT].measure(seconds).p50_ms
            for way in rotated(answered, number):
                own = clients[way].measure(seconds).p50_ms
                after = clients[DIRECT].measure(seconds).p50_ms
                p50s[way].append(own)
                beside[way].append((before + after) / 2)
                direct.append(after)
                before = after
    return AddedLatency(
        statistics.median(direct), {way: Added(p50s[way], beside[way]) for way in answered}, failures
    )


def main() -> int:
    """Print the table."""
    parser = measurement_options(__doc__)
    parser.add_argument("--seconds", type=float, default=0.3, help="length of a slice")
    parser.add_argument("--rounds", type=int, default=12, help="slices of each way, two at least")
    parser.add_argument(
        "--only", default="", metavar="WORD", help="measure only the ways whose name holds this"
    )
    options = parser.parse_args()
    use_cores(options.cores)
    ways = [way for way in ALL_WAYS if way is DIRECT or options.only in way.name]
    with served_model(None) as served, running_gateways(served, ways) as gateways:
        latency = measure_added_latency(gateways, ways, options.rounds, options.seconds)
    print(f"direct gRPC: p50 {latency.direct_p50_ms:.3f} ms")
    print(f"{'way':<37}{'p50 ms':>8}{'ratio':>7}{'added ms':>10}{'middle half':>18}")
    for way, added in latency.ways.items():
        low, high = added.quartiles_ms()
        print(
            f"{way.name:<37}{statistics.median(added.p50_ms):>8.3f}{statistics.median(added.ratios):>7.2f}"
            f"{added.median_ms():>10.3f}"
            f"{f'{low:.3f} to {high:.3f}':>18}"
        )
    for way, problem in latency.failures.items():
        print(f"{way.name} failed: {problem}")
    return 1 if latency.failures else 0


if __name__ == "__main__":
    run_command(main)
