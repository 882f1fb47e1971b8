"""The cost of a frame everywhere but on a GPU, and a fleet's size: `python -m benchmarks.fleet.frame_costs`.

The CPU time of the gateway per frame for each kind of client, that of Triton, bytes on each connection, and
the memory of connections. All kinds take turns, on the same cores. A GPU's speed is an input.
"""

import os
import pickle
import statistics
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import PIL.Image
import zmq

from benchmarks.command import measurement_options, progress, run_command, use_cores
from benchmarks.fleet.size import FrameCost, frame_flops, gpu_frames_per_s, rows
from benchmarks.gateway.load import LoadClients
from benchmarks.gateway.models import TINY, served_model
from benchmarks.gateway.process import OVER_CONNECTION, RunningGateway, running_gateway
from benchmarks.gateway.rates import TCP_JSON, ZMQ_MSGPACK, Gateways, Way, measure_throughput
from benchmarks.gateway.relay import Relay
from benchmarks.gateway.ways import (
    Ask,
    Endpoints,
    LoadError,
    connected,
    direct_grpc,
    png,
    random_frame,
    request_socket,
    tcp_json,
    zmq_pickle,
)
from benchmarks.machine import load_average, machine_in_words, versions_in_words

_COUNTED = 20  # frames whose bytes are counted


@contextmanager
def zmq_pickled_picture(endpoints: Endpoints) -> Iterator[Ask]:
    """Ask as the deployed Python client does for its players: the frame as a PIL image."""
    picture = PIL.Image.fromarray(random_frame())
    with request_socket(endpoints.zmq) as client:

        def ask() -> None:
            client.send(pickle.dumps({"type": "predict", "image": picture}))
            reply = pickle.loads(client.recv())
            if reply["status"] != "ok":
                raise LoadError(reply["message"])

        yield ask


@contextmanager
def tcp_png(endpoints: Endpoints) -> Iterator[Ask]:
    """Ask in JSON with a screenshot of 256x240 as a PNG file."""
    file = png(240, 256)
    message = b'{"type": "predict", "len": %d}\n' % len(file) + file
    with connected(endpoints.tcp) as client, client.makefile("rb") as replies:

        def ask() -> None:
            client.sendall(message)
            if b'"ok"' not in (reply := replies.readline())[:40]:
                raise LoadError(reply.decode(errors="replace"))

        yield ask


PICTURE = Way("ZeroMQ, pickle, PIL image", zmq_pickled_picture)
PNG = Way("TCP, JSON + PNG", tcp_png)
# In a fleet, the gateway and Triton share no memory.
KINDS = {
    name: replace(way, variant=OVER_CONNECTION)
    for name, way in {
        "ZeroMQ, pickle, PIL image": PICTURE,
        "ZeroMQ, msgpack, raw": ZMQ_MSGPACK,
        "TCP, JSON + raw": TCP_JSON,
        "TCP, JSON + PNG": PNG,
    }.items()
}


@dataclass(frozen=True)
class TritonCost:
    """Triton's CPU seconds for a frame, of the server and of all that it started, and its frames/s."""

    cpu_s: float
    frames_per_s: float


@dataclass(frozen=True)
class Memory:
    """A gateway's resident bytes without clients, and for each connection that has played and stays."""

    idle_bytes: int
    bytes_per_connection: float


def wire_bytes(way: Way, endpoints: Endpoints) -> tuple[float, float]:
    """Return the bytes of a frame from a client, and of its reply, as TCP carries them."""
    with Relay(endpoints.zmq) as zmq_relay, Relay(endpoints.tcp) as tcp_relay:
        relayed = Endpoints(endpoints.model, endpoints.triton, zmq_relay.port, tcp_relay.port)
        with way.connect(relayed) as ask:
            return _per_frame(ask, zmq_relay, tcp_relay)


def triton_bytes(model: str, grpc_port: int) -> float:
    """Return the bytes between a gateway and Triton for a frame, both ways."""
    with (
        Relay(grpc_port) as relay,
        running_gateway(model, [relay.port], OVER_CONNECTION) as gateway,
        tcp_json(gateway.endpoints) as ask,
    ):
        return sum(_per_frame(ask, relay))


def _per_frame(ask: Ask, *relays: Relay) -> tuple[float, float]:
    ask()  # with it goes what opens a connection
    forth, back = sum(one.forth for one in relays), sum(one.back for one in relays)
    for _ in range(_COUNTED):
        ask()
    forth, back = sum(one.forth for one in relays) - forth, sum(one.back for one in relays) - back
    return forth / _COUNTED, back / _COUNTED


def triton_cost(checkpoint: Path | None, clients: int, rounds: int, seconds: float) -> TritonCost:
    """Measure Triton's CPU time for a frame, asked without a gateway.

    Raises:
        LoadError: a client did not get its actions.
    """
    costs, rates = [], []
    with served_model(checkpoint) as served, LoadClients(clients) as load:
        asking = load.connect(direct_grpc, Endpoints(served.model, served.grpc_port, 0, 0), clients)
        for _ in range(rounds):
            before = _triton_cpu_s(served.grpc_port)
            measured = asking.measure(seconds)
            costs.append((_triton_cpu_s(served.grpc_port) - before) / measured.requests)
            rates.append(measured.requests_per_s)
        asking.leave()
    return TritonCost(statistics.median(costs), statistics.median(rates))


def connection_memory(gateway: RunningGateway, count: int) -> Memory:
    """Measure a gateway's memory before and with `count` connections that have played, half on each port."""
    idle = gateway.resident_bytes()
    with ExitStack() as stack:
        context = stack.enter_context(zmq.Context())
        context.set(zmq.MAX_SOCKETS, count + 10)
        for _ in range(count // 2):
            stack.enter_context(tcp_json(gateway.endpoints))()
            stack.enter_context(zmq_pickle(gateway.endpoints, context))()
        return Memory(idle, (gateway.resident_bytes() - idle) / count)


def _triton_cpu_s(grpc_port: int) -> float:
    """Return the CPU seconds of a Triton's process group: the server and its backends' processes."""
    stats: dict[int, tuple[list[bytes], list[str]]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                command = (folder / "cmdline").read_bytes().split(b"\0")
                stats[int(folder.name)] = command, (folder / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
    wanted = f"--grpc-port={grpc_port}".encode()
    (group,) = {
        fields[2]
        for command, fields in stats.values()
        if wanted in command and command[0].endswith(b"tritonserver")
    }
    ticks = sum(int(fields[11]) + int(fields[12]) for _, fields in stats.values() if fields[2] == group)
    return ticks / os.sysconf("SC_CLK_TCK")


def main() -> int:
    """Print what was measured, and the fleet."""
    parser = measurement_options(__doc__, seconds=2.0, rounds=3)
    parser.add_argument("--clients", type=int, default=8, help="players that send as fast as they can")
    parser.add_argument("--connections", type=int, default=200, help="whose memory is measured")
    parser.add_argument("--players", type=int, default=1000, help="of the fleet")
    parser.add_argument(
        "--frames-per-second-per-player",
        type=float,
        default=60 / 18,
        metavar="F",
        help="a predict has 18 steps, so 60 actions per second take 3.33, 30 take 1.67 (3.33)",
    )
    parser.add_argument(
        "--gpu-frames-per-second",
        type=float,
        metavar="F",
        help="what one GPU does with full batches, measured by you; else the next two are used",
    )
    parser.add_argument(
        "--gpu-tflops", type=float, default=989, help="dense bf16 of the data sheet (989: H100 SXM)"
    )
    parser.add_argument(
        "--gpu-utilisation", type=float, default=0.2, help="share of it that is reached: an assumption (0.2)"
    )
    parser.add_argument("--steps", type=int, help="of the sampler; the checkpoint's own are 16")
    options = parser.parse_args()
    before, cores = load_average(), use_cores(options.cores)
    print(f"{machine_in_words(cores)}; load average before: {before:.1f}; {versions_in_words()}")
    kinds, between = _measure_gateway(options.clients, options.rounds, options.seconds, options.connections)
    for name, checkpoint in (("the small checkpoint", TINY), ("a model that answers at once", None)):
        progress(f"Triton with {name}")
        cost = triton_cost(checkpoint, options.clients, options.rounds, options.seconds)
        print(
            f"Triton, {name}: {1000 * cost.cpu_s:.2f} ms of CPU per frame, {cost.frames_per_s:.0f} frames/s"
        )
    flops = frame_flops(options.steps)
    parts = ", ".join(f"{name} {value / 1e9:.0f}" for name, value in flops.items())
    print(f"\nThe released model: {sum(flops.values()) / 1e9:.0f} GFLOP per frame ({parts})")
    speed = options.gpu_frames_per_second
    if speed is None:
        speed = gpu_frames_per_s(options.gpu_tflops, options.gpu_utilisation, options.steps)
        print(
            f"ASSUMED, not measured: a GPU of {options.gpu_tflops:g} TFLOP/s reaches "
            f"{options.gpu_utilisation:.0%} of them, so {speed:,.0f} frames/s"
        )
    for line in rows(options.players, options.frames_per_second_per_player, speed, kinds, between):
        print(line)
    return 0


def _measure_gateway(
    clients: int, rounds: int, seconds: float, connections: int
) -> tuple[Mapping[str, FrameCost], float]:
    """Print what the gateway's frames cost; the kinds' costs, and the bytes to Triton and back."""
    progress("the gateway, with a model that answers at once")
    with (
        served_model(None) as served,
        running_gateway(served.model, [served.grpc_port], OVER_CONNECTION) as gateway,
    ):
        memory = connection_memory(gateway, connections)
        wire = {name: wire_bytes(way, gateway.endpoints) for name, way in KINDS.items()}
        between = triton_bytes(served.model, served.grpc_port)
        measured = measure_throughput(
            Gateways({OVER_CONNECTION: gateway}, {}), tuple(KINDS.values()), clients, rounds, seconds
        )
        for way, problem in measured.failures.items():
            raise LoadError(f"{way.name}: {problem}")
    print(
        f"{'':<26}{'gateway CPU ms/frame':>22}{'(range)':>15}{'frames/s':>10}{'bytes in':>10}"
        f"{'bytes out':>11}"
    )
    kinds = {}
    for name, way in KINDS.items():
        cpu_ms = [one.gateway_cpu_ms for one in measured.rounds[way]]
        kinds[name] = FrameCost(statistics.median(cpu_ms) / 1000, *wire[name])
        rate = measured.median(way, lambda one: one.requests_per_s)
        spread = f"{min(cpu_ms):.2f} to {max(cpu_ms):.2f}"
        print(
            f"{name:<26}{statistics.median(cpu_ms):>22.2f}{spread:>15}{rate:>10.0f}"
            f"{wire[name][0]:>10,.0f}{wire[name][1]:>11,.0f}"
        )
    print(f"between gateway and Triton: {between:,.0f} bytes per frame, both ways together")
    idle_mib, each_kib = memory.idle_bytes / 2**20, memory.bytes_per_connection / 2**10
    print(f"gateway's memory: {idle_mib:.0f} MiB, and {each_kib:.0f} KiB per connection that has played")
    return kinds, between


if __name__ == "__main__":
    run_command(main)
