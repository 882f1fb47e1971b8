"""`python -m benchmarks.gateway.live`: what the live page costs a player, looked at or not.

One client plays at a gateway without the page, at another one without it (how far two equal ones differ), at
one with the page, and at that one while its pictures are looked at; these take turns. The model answers at
once. The CPU time is that of the gateway's process, per request.
"""

import http.client
import json
import statistics
from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from multiprocessing.connection import Connection

from benchmarks.command import measurement_options, run_command, use_cores
from benchmarks.gateway.load import ConnectedClients, LoadClients, running_beside
from benchmarks.gateway.models import served_model
from benchmarks.gateway.process import RunningGateway, running_gateway
from benchmarks.gateway.rates import TCP_JSON
from benchmarks.gateway.ways import HOST, LoadError
from benchmarks.turns import rotated

# Until the onlooker has found the player in the list, which comes once a second.
_WARM_UP_S = 1.3
WITHOUT, AGAIN, NOBODY, LOOKED_AT = (
    "without the page",
    "without it, another",
    "nobody looks",
    "somebody looks",
)


@dataclass(frozen=True)
class Cost:
    """A kind's figures, round by round.

    Attributes:
        cpu_ms: the gateway's, per request, over all rounds.
    """

    p50_ms: Sequence[float]
    cpu_ms: float


def measure_live(
    gateways: dict[str, RunningGateway], rounds: int, seconds: float
) -> tuple[dict[str, Cost], float]:
    """Return each kind's cost, and the pictures that the onlooker got in a second.

    Raises:
        LoadError: a client did not get its actions, or the onlooker no pictures.
    """
    p50s: dict[str, list[float]] = {kind: [] for kind in gateways}
    cpu_s = dict.fromkeys(gateways, 0.0)
    requests = dict.fromkeys(gateways, 0)
    pictures = 0
    with LoadClients(len(gateways)) as load:
        clients = {
            kind: load.connect(TCP_JSON.connect, gateway.endpoints, 1) for kind, gateway in gateways.items()
        }
        for number in range(rounds):
            for kind in rotated(list(gateways), number):
                gateway = gateways[kind]
                looking = running_beside(_look, gateway.http_port) if kind == LOOKED_AT else nullcontext()
                with looking as end:
                    clients[kind].measure(_WARM_UP_S)
                    before_s = gateway.cpu_s()
                    measured = clients[kind].measure(seconds)
                    cpu_s[kind] += gateway.cpu_s() - before_s
                    if end is not None:
                        pictures += end()
                p50s[kind].append(measured.p50_ms)
                requests[kind] += measured.requests
        _leave(clients)
    costs = {kind: Cost(p50s[kind], 1000 * cpu_s[kind] / requests[kind]) for kind in gateways}
    return costs, pictures / (rounds * (seconds + _WARM_UP_S))


def _leave(clients: dict[str, ConnectedClients]) -> None:
    for some in clients.values():
        some.leave()


def _look(connection: Connection, port: int) -> None:
    """Look at the only player until told to end; answer how many pictures came."""
    connection.send("ready")
    player, pictures = "", 0
    try:
        while not connection.poll():
            page = http.client.HTTPConnection(HOST, port, timeout=5)
            page.request("GET", f"/live/events?player={player}")
            events = page.getresponse()
            while not connection.poll():
                line = events.readline()
                if line.startswith(b"event: chosen"):
                    pictures += 1
                elif not player and line.startswith(b"data: {"):
                    found = json.loads(line.removeprefix(b"data: "))["players"]
                    if found:
                        player = found[-1]["id"]
                        break
            page.close()
    except OSError as error:
        connection.send(LoadError(f"the onlooker failed: {error!r}"))
        return
    connection.send(pictures)


def main() -> int:
    """Print the table."""
    parser = measurement_options(__doc__, seconds=1.5, rounds=12)
    options = parser.parse_args()
    use_cores(options.cores)
    with served_model(None) as served, ExitStack() as stack:
        without, again, with_page = (
            stack.enter_context(running_gateway(served.model, [served.grpc_port], flags=(f"--live={who}",)))
            for who in ("off", "off", "local")
        )
        gateways = {WITHOUT: without, AGAIN: again, NOBODY: with_page, LOOKED_AT: with_page}
        costs, pictures_per_s = measure_live(gateways, options.rounds, options.seconds)
    base = costs[WITHOUT]
    print(f"{'':<22}{'p50 ms':>8}{'ratio':>8}{'middle half':>16}{'CPU ms':>9}{'ratio':>8}")
    for kind, cost in costs.items():
        ratios = [own / other for own, other in zip(cost.p50_ms, base.p50_ms, strict=True)]
        low, ratio, high = statistics.quantiles(ratios, n=4, method="inclusive")
        print(
            f"{kind:<22}{statistics.median(cost.p50_ms):>8.3f}{ratio:>8.3f}{f'{low:.3f} to {high:.3f}':>16}"
            f"{cost.cpu_ms:>9.3f}{cost.cpu_ms / base.cpu_ms:>8.3f}"
        )
    print(f"the onlooker got {pictures_per_s:.1f} pictures a second")
    return 0


if __name__ == "__main__":
    run_command(main)
