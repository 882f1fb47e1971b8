"""`python -m benchmarks.gateway.report [--quick]`: all of the gateway's figures, as one page.

Runs every measurement of the gateway against a real Triton, on two cores that Triton, the gateway and the
load share, and writes what was wanted and what was measured as Markdown. A measurement that fails is written
as failed, and the command then exits with 1.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from benchmarks.command import measurement_options, progress, run_command, use_cores
from benchmarks.gateway.all_kinds import FLAGS
from benchmarks.gateway.flood import Round, measure_flood
from benchmarks.gateway.idle import IDLE, BesideIdle, measure_beside_idle
from benchmarks.gateway.latency import AddedLatency, measure_added_latency
from benchmarks.gateway.memory import REQUESTS, Memory, measure_memory
from benchmarks.gateway.models import TINY, served_model
from benchmarks.gateway.page import page
from benchmarks.gateway.process import running_gateway
from benchmarks.gateway.rates import ALL_WAYS, PLAIN_WAYS, Throughput, measure_throughput, running_gateways
from benchmarks.gateway.targets import Failed, Figures
from benchmarks.gateway.triton_death import measure_triton_death
from benchmarks.gateway.ways import LoadError
from benchmarks.machine import load_average, machine_in_words, versions_in_words
from standalone.errors import StandaloneError

T = TypeVar("T")


@dataclass(frozen=True)
class Plan:
    """How often each measurement is made (rounds), and how long one is (seconds)."""

    throughput: tuple[int, float]
    crowd: tuple[int, float]
    tiny: tuple[int, float]
    latency: tuple[int, float]
    idle: tuple[int, float]
    flood: tuple[int, float]
    requests: int
    settle_s: float


FULL = Plan((5, 2.0), (3, 2.0), (5, 2.0), (10, 0.25), (5, 2.0), (4, 2.5), REQUESTS, 2.5)
QUICK = Plan((2, 0.7), (2, 0.7), (2, 0.7), (3, 0.2), (2, 1.0), (2, 1.0), 5000, 0.5)


def measure(plan: Plan) -> Figures:
    """Make all measurements; those that fail say why."""
    throughput, crowd, latency = _with_all_gateways(plan)
    return Figures(
        throughput=throughput,
        crowd=crowd,
        latency=latency,
        tiny=_tried("eight clients and the small checkpoint", lambda: _tiny(plan)),
        idle=_tried(f"{IDLE} idle connections", lambda: _idle(plan)),
        flood=_tried("two clients that flood", lambda: _flood(plan)),
        memory=_tried(f"{plan.requests} requests of all kinds", lambda: _memory(plan)),
        death=_tried("Tritons that die", measure_triton_death),
    )


def _with_all_gateways(
    plan: Plan,
) -> tuple[Throughput | Failed, Throughput | Failed, AddedLatency | Failed]:
    """Measure what needs the gateways of all variants, in front of one Triton."""

    def all_three() -> tuple[Throughput | Failed, Throughput | Failed, AddedLatency | Failed]:
        with served_model(None) as served, running_gateways(served, ALL_WAYS) as gateways:
            return (
                _tried("eight clients", lambda: measure_throughput(gateways, ALL_WAYS, 8, *plan.throughput)),
                _tried("32 clients", lambda: measure_throughput(gateways, PLAIN_WAYS, 32, *plan.crowd)),
                _tried("one client", lambda: measure_added_latency(gateways, ALL_WAYS, *plan.latency)),
            )

    measured = _tried("the model that answers at once", all_three)
    return (measured, measured, measured) if isinstance(measured, Failed) else measured


def _tiny(plan: Plan) -> Throughput:
    with served_model(TINY) as served, running_gateways(served, PLAIN_WAYS) as gateways:
        return measure_throughput(gateways, PLAIN_WAYS, 8, *plan.tiny)


def _idle(plan: Plan) -> Sequence[BesideIdle]:
    with served_model(None) as served, running_gateway(served.model, [served.grpc_port]) as gateway:
        return measure_beside_idle(gateway, IDLE, *plan.idle)


def _flood(plan: Plan) -> Sequence[Round]:
    with served_model(TINY) as served, running_gateway(served.model, [served.grpc_port]) as gateway:
        return measure_flood(gateway, *plan.flood)


def _memory(plan: Plan) -> Memory:
    with (
        served_model(None) as served,
        running_gateway(served.model, [served.grpc_port], flags=FLAGS) as gateway,
    ):
        return measure_memory(gateway, plan.requests, plan.settle_s)


def _tried(name: str, measurement: Callable[[], T]) -> T | Failed:
    progress(f"measuring: {name}")
    try:
        return measurement()
    except (LoadError, StandaloneError) as error:
        progress(f"failed: {error}")
        return Failed(str(error))


def main() -> int:
    """Write the page."""
    parser = measurement_options(__doc__)
    parser.add_argument("--quick", action="store_true", help="some two minutes, and figures that vary more")
    parser.add_argument("--output", type=Path, help="the file to write; standard output by default")
    options = parser.parse_args()
    begin, load = time.monotonic(), load_average()
    cores = use_cores(options.cores)
    figures = measure(QUICK if options.quick else FULL)
    written = page(
        figures,
        command="python -m benchmarks.gateway.report" + (" --quick" if options.quick else ""),
        machine=f"{machine_in_words(cores)}; load average before: {load:.1f}",
        versions=versions_in_words(),
        minutes=(time.monotonic() - begin) / 60,
    )
    if options.output is None:
        print(written, end="")
    else:
        options.output.write_text(written, encoding="utf-8")
    return 1 if figures.failures() else 0


if __name__ == "__main__":
    run_command(main)
