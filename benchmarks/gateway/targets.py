"""The targets of the gateway's figures, and whether they are reached."""

import dataclasses
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.gateway.flood import Round
from benchmarks.gateway.idle import IDLE, BesideIdle
from benchmarks.gateway.latency import AddedLatency
from benchmarks.gateway.memory import Memory
from benchmarks.gateway.rates import TCP_JSON, WEB_OPENPI, WEB_PLAY, ZMQ_MSGPACK, ZMQ_PICKLE, Throughput
from benchmarks.gateway.triton_death import CLIENTS, TritonDeath


@dataclass(frozen=True)
class Failed:
    """A measurement that could not be made."""

    why: str


@dataclass(frozen=True)
class Figures:
    """All measurements; `throughput` is that of 8 clients, `crowd` that of 32, `tiny` of a real model."""

    throughput: Throughput | Failed
    crowd: Throughput | Failed
    latency: AddedLatency | Failed
    tiny: Throughput | Failed
    idle: Sequence[BesideIdle] | Failed
    flood: Sequence[Round] | Failed
    memory: Memory | Failed
    death: TritonDeath | Failed

    def failures(self) -> list[str]:
        """Return what could not be measured, with why."""
        found = []
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Failed):
                found.append(f"{field.name}: {value.why}")
            elif isinstance(value, Throughput | AddedLatency):
                found += [f"{field.name}, {way.name}: {why}" for way, why in value.failures.items()]
        return found


@dataclass(frozen=True)
class Target:
    """A line of the first table; `measured` is None where the measurement failed."""

    what: str
    wanted: str
    measured: str | None
    reached: bool = False

    def row(self) -> str:
        """Return the line in Markdown."""
        return (
            f"| {self.what} | {self.wanted} | {self.measured or 'not measured'} | "
            f"{'yes' if self.reached else '**no**'} |"
        )


def targets(figures: Figures) -> Iterator[Target]:
    """Yield the targets of the gateway, in the order of the page."""
    rate = "requests/s relative to direct gRPC, "
    for model, throughput, wanted in (
        (
            "instant model",
            figures.throughput,
            {ZMQ_PICKLE: 0.6, ZMQ_MSGPACK: 0.6, TCP_JSON: 0.9},
        ),
        ("small checkpoint", figures.tiny, {ZMQ_PICKLE: 0.9, ZMQ_MSGPACK: 0.9, TCP_JSON: 0.9}),
    ):
        for way, least in wanted.items():
            what = f"{rate}{model}: {way.name}"
            if isinstance(throughput, Failed) or way not in throughput.rounds:
                yield Target(what, f"at least {least}", None)
                continue
            ratios = throughput.ratios(way, lambda one: one.requests_per_s)
            value = statistics.median(ratios)
            yield Target(what, f"at least {least}", with_range(ratios), value >= least)
    yield from _web_targets(figures.throughput)
    for way, most in {ZMQ_PICKLE: 1.35, ZMQ_MSGPACK: 1.35, TCP_JSON: 1.12}.items():
        what = f"p50 of one client relative to direct gRPC: {way.name}"
        latency = figures.latency
        if isinstance(latency, Failed) or way not in latency.ways:
            yield Target(what, f"at most {most}", None)
            continue
        ratios = latency.ways[way].ratios
        yield Target(what, f"at most {most}", with_range(ratios), statistics.median(ratios) <= most)
    yield from _idle_targets(figures.idle)
    yield from _life_targets(figures.memory, figures.death)


def _web_targets(throughput: Throughput | Failed) -> Iterator[Target]:
    """Yield how the web port's formats do beside those that are nearest to them."""
    for way, other, least in ((WEB_PLAY, TCP_JSON, 0.8), (WEB_OPENPI, ZMQ_MSGPACK, 0.9)):
        what = f"requests/s relative to {other.name}: {way.name}"
        if isinstance(throughput, Failed) or not {way, other} <= throughput.rounds.keys():
            yield Target(what, f"at least {least}", None)
            continue
        pairs = zip(throughput.rounds[way], throughput.rounds[other], strict=True)
        ratios = [own.requests_per_s / others.requests_per_s for own, others in pairs]
        yield Target(what, f"at least {least}", with_range(ratios), statistics.median(ratios) >= least)


def _idle_targets(idle: Sequence[BesideIdle] | Failed) -> Iterator[Target]:
    wanted = "at most 1.5"
    what = f"p99 beside {IDLE} idle connections, relative to alone"
    if isinstance(idle, Failed):
        yield Target(what, wanted, None)
        return
    for one in idle:
        yield Target(f"{what}: {one.way.name}", wanted, with_range(one.p99_ratios()), one.p99_ratio() <= 1.5)


def _life_targets(memory: Memory | Failed, death: TritonDeath | Failed) -> Iterator[Target]:
    if isinstance(memory, Failed):
        yield Target("resident memory's growth under requests of all kinds", "below 5 %", None)
        yield Target("errors that the gateway logs meanwhile", "none", None)
    else:
        what = f"resident memory's growth over {memory.kinds.total():,} requests of all kinds"
        yield Target(what, "below 5 %", f"{memory.growth:.1%}", memory.growth < 0.05)
        logged = str(len(memory.errors))
        yield Target("errors that the gateway logs meanwhile", "none", logged, not memory.errors)
    one, error, back = (
        f"one of two Tritons killed under {CLIENTS} clients: errors that they see",
        "both killed: longest time to a client's error",
        "a Triton ready again: longest time to a client's actions",
    )
    if isinstance(death, Failed):
        yield from (Target(one, "none", None), Target(error, "4 s", None), Target(back, "2 s", None))
        return
    errors, requests = len(death.one.errors), death.one.requests
    yield Target(one, "none", f"{errors} in {requests:,} requests", not errors)
    longest_s = max(*death.both.first_errors_s, death.both.longest_wait_s)
    yield Target(error, "4 s", f"{longest_s:.2f} s", longest_s <= 4)
    longest_s = max(death.both.first_answers_s)
    yield Target(back, "2 s", f"{longest_s:.2f} s", longest_s <= 2)


def with_range(values: Sequence[float]) -> str:
    """Return the median of some values, and their range."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"
