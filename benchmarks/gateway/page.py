"""The gateway's figures as a page of Markdown: first the targets, then the tables they are taken from."""

import statistics
import textwrap
from collections.abc import Callable, Iterable, Sequence

from benchmarks.gateway.flood import CONDITIONS, OUTSTANDING, Answers, Round, ratio
from benchmarks.gateway.idle import ACTIVE, IDLE, BesideIdle
from benchmarks.gateway.latency import AddedLatency
from benchmarks.gateway.load import Rates
from benchmarks.gateway.memory import Memory
from benchmarks.gateway.rates import Throughput, Way
from benchmarks.gateway.targets import Failed, Figures, targets, with_range
from benchmarks.gateway.triton_death import CLIENTS, TritonDeath

_HOW_TO_READ = """\
Triton, the gateway and every load client are processes of their own and share these cores. Compared ways
take turns within one run. Figures are medians over the rounds, with the range of the rounds in parentheses.
Ratios carry over to other machines, milliseconds do not."""

_TARGETS = f"""\
Requests/s and p99 are those of {ACTIVE} clients. The instant model answers at once."""

_THROUGHPUT = """\
`python -m benchmarks.gateway.rates`. Relative to direct gRPC calls (Triton's own Python client) in the same
round. The gateway's CPU time is that of all its processes, per request. Workers pay where there are more
cores."""

_LATENCY = """\
`python -m benchmarks.gateway.latency`. Short slices of direct gRPC and of each way take turns; a slice's p50
is compared with that of its two neighbours."""

_IDLE = f"""\
`python -m benchmarks.gateway.idle`. {ACTIVE} clients play alone, and beside {IDLE} connections, half of them
on each port, that played once and stay. The model answers at once."""

_FLOOD = f"""\
`python -m benchmarks.gateway.flood`. Eight lockstep clients (four on each port) of the small golden
checkpoint play alone, beside two more of their kind, and beside two that flood: a DEALER with {OUTSTANDING}
predicts outstanding, and a TCP client that sends as much as is taken."""

_MEMORY = """\
`python -m benchmarks.gateway.memory`. Each request, good or bad, ended as it had to. Growth is from the first
tenth, the warm-up, to the last."""

_DEATH = f"""\
`python -m benchmarks.gateway.triton_death`. {CLIENTS} clients and two Tritons, which are killed with SIGKILL
and started again."""


def page(figures: Figures, *, command: str, machine: str, versions: str, minutes: float) -> str:
    """Return the page; `command` and `minutes` are how and how long it was made."""
    parts = [
        "# The gateway's figures",
        f"Written by `{command}` in {minutes:.0f} minutes, on {machine}. {versions}.",
        _HOW_TO_READ,
        _TARGETS,
        "\n".join(
            ["| target | wanted | measured | reached |", "|---|---|---|---|"]
            + [target.row() for target in targets(figures)]
        ),
        *(f"Could not be measured: {why}" for why in figures.failures()),
        *_throughput_part(figures),
        *_latency_part(figures.latency),
        *_idle_part(figures.idle),
        *_flood_part(figures.flood),
        *_memory_part(figures.memory),
        *_death_part(figures.death),
    ]
    return "\n\n".join(map(_wrapped, parts)) + "\n"


def _wrapped(part: str) -> str:
    """Return a paragraph in lines of 120 columns; a table or a list as it is."""
    return part if part.startswith(("|", "- ")) else textwrap.fill(part, 120, break_on_hyphens=False)


def _table(headings: str, rows: Iterable[Sequence[str]]) -> str:
    """Return a table; `headings` have a comma between."""
    names = headings.split(", ")
    lines = [names, ["---"] * len(names), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _throughput_part(figures: Figures) -> list[str]:
    parts = ["## Requests per second", _THROUGHPUT]
    for model, throughput in (
        ("model that answers at once", figures.throughput),
        ("model that answers at once", figures.crowd),
        ("small golden checkpoint", figures.tiny),
    ):
        if not isinstance(throughput, Failed):
            parts.append(f"{throughput.clients} clients, {model}:")
            parts.append(
                _table(
                    "way, requests/s, relative, p50 ms, relative, p99 ms, relative, gateway's CPU ms",
                    [_throughput_row(throughput, way) for way in throughput.rounds],
                )
            )
    return parts


def _throughput_row(throughput: Throughput, way: Way) -> list[str]:
    cpu_ms = throughput.median(way, lambda one: one.gateway_cpu_ms)
    return [
        way.name,
        f"{throughput.median(way, lambda one: one.requests_per_s):,.0f}",
        with_range(throughput.ratios(way, lambda one: one.requests_per_s)),
        f"{throughput.median(way, lambda one: one.p50_ms):.2f}",
        f"{throughput.ratio(way, lambda one: one.p50_ms):.2f}",
        f"{throughput.median(way, lambda one: one.p99_ms):.2f}",
        f"{throughput.ratio(way, lambda one: one.p99_ms):.2f}",
        "" if way.goes_direct else f"{cpu_ms:.2f}",
    ]


def _latency_part(latency: AddedLatency | Failed) -> list[str]:
    if isinstance(latency, Failed):
        return []
    rows = [["direct gRPC", f"{latency.direct_p50_ms:.2f}", "1.00", "", ""]]
    for way, added in latency.ways.items():
        low, high = added.quartiles_ms()
        middle = f"{low:+.2f} to {high:+.2f}"
        p50_ms, ratio = statistics.median(added.p50_ms), statistics.median(added.ratios)
        rows.append([way.name, f"{p50_ms:.2f}", f"{ratio:.2f}", f"{added.median_ms():+.2f}", middle])
    table = _table("way, p50 ms, relative, beyond direct gRPC: ms, middle half of the rounds", rows)
    return ["## What one client waits for", _LATENCY, table]


def _idle_part(idle: Sequence[BesideIdle] | Failed) -> list[str]:
    if isinstance(idle, Failed):
        return []
    rows = []
    for one in idle:
        row = [one.way.name]
        for each in (one.alone, one.beside):
            row.append(f"{statistics.median(rates.p50_ms for rates in each):.2f}")
            row.append(f"{statistics.median(rates.p99_ms for rates in each):.2f}")
        rows.append([*row, with_range(one.p99_ratios())])
    table = _table("way, alone: p50 ms, p99 ms, beside: p50 ms, p99 ms, p99 relative", rows)
    return [f"## {IDLE} idle connections", _IDLE, table]


def _flood_part(flood: Sequence[Round] | Failed) -> list[str]:
    if isinstance(flood, Failed):
        return []
    picked: tuple[Callable[[Rates], float], ...] = (
        lambda one: one.requests_per_s,
        lambda one: one.p50_ms,
        lambda one: one.p99_ms,
    )
    rows = []
    for name, beside in CONDITIONS.items():
        row = [name]
        for figure in picked:
            row.append(f"{statistics.median(figure(beside(one)) for one in flood):.1f}")
            row.append(f"{ratio(flood, figure, beside):.2f}")
        rows.append(row)
    table = _table("the eight, requests/s, relative, p50 ms, relative, p99 ms, relative", rows)
    by_zmq = _sum([one.by_zmq for one in flood])
    by_tcp = _sum([one.by_tcp for one in flood])
    return [
        "## Two clients that flood",
        _FLOOD,
        table,
        f"The flood by ZMQ got {by_zmq.actions:,} answers with actions and {by_zmq.refusals:,} refusals, "
        f"the one by TCP {by_tcp.actions:,} and {by_tcp.refusals:,}.",
    ]


def _sum(answers: Sequence[Answers]) -> Answers:
    return Answers(sum(one.actions for one in answers), sum(one.refusals for one in answers))


def _memory_part(memory: Memory | Failed) -> list[str]:
    if isinstance(memory, Failed):
        return []
    sizes = ", ".join(f"{size / 2**20:.1f}" for size in memory.resident_bytes)
    return [
        "## Memory",
        _MEMORY,
        f"{memory.kinds.total():,} requests of {len(memory.kinds)} kinds in {memory.seconds:.0f} s. "
        f"Resident memory after each tenth, in MiB: {sizes}.",
    ]


def _death_part(death: TritonDeath | Failed) -> list[str]:
    if isinstance(death, Failed):
        return []
    one, both = death.one, death.both
    return [
        "## Tritons that die",
        _DEATH,
        f"- One of the two killed and back again: {len(one.errors)} errors in {one.requests:,} requests; "
        f"the longest took {one.longest_wait_s:.2f} s.\n"
        f"- Both killed: each client had its first error after {min(both.first_errors_s):.2f} to "
        f"{max(both.first_errors_s):.2f} s; no request took longer than {both.longest_wait_s:.2f} s.\n"
        f"- One ready again: each client had actions within {max(both.first_answers_s):.2f} s.",
    ]
