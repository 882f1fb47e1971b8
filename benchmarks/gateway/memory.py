"""`python -m benchmarks.gateway.memory`: whether a gateway's memory grows under requests of all kinds.

Clients send 100,000 requests, good and bad, and each of them has to end as its kind says. The gateway's
resident memory is read after each tenth; growth is from the first tenth, the warm-up, to the last.
The model answers at once.
"""

import multiprocessing
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from benchmarks.command import measurement_options, progress, run_command, use_cores
from benchmarks.gateway.all_kinds import ALL_KINDS, FLAGS, send_requests
from benchmarks.gateway.models import served_model
from benchmarks.gateway.process import RunningGateway, running_gateway

REQUESTS = 100_000
PARTS = 10
_CLIENTS = 3
SETTLE_S = 2.5  # the gateway reads on for two seconds after an error that ends a connection


@dataclass(frozen=True)
class Memory:
    """Resident memory in bytes after each part of the requests, and how many there were of each kind.

    Attributes:
        errors: what the gateway logged as errors of its own.
    """

    resident_bytes: Sequence[int]
    kinds: Counter[str]
    errors: Sequence[str]
    seconds: float

    @property
    def growth(self) -> float:
        """From the first part's end to the last one's, relative to the first."""
        return self.resident_bytes[-1] / self.resident_bytes[0] - 1


def measure_memory(
    gateway: RunningGateway, requests: int, settle_s: float = SETTLE_S, kinds: Sequence[str] | None = None
) -> Memory:
    """Send requests in `PARTS` parts, and read the memory after each.

    Args:
        gateway: one with `all_kinds.FLAGS`.
        requests: in all, or a few more.
        settle_s: seconds after each part before the memory is read.
        kinds: names of the kinds of request; all by default.

    Raises:
        LoadError: a request did not end as its kind has to.
    """
    begin = time.monotonic()
    sent: Counter[str] = Counter()
    resident = []
    share = -(-requests // (PARTS * _CLIENTS))
    with ProcessPoolExecutor(_CLIENTS, multiprocessing.get_context("forkserver")) as pool:
        for part in range(PARTS):
            waiting = [
                pool.submit(_send, gateway, share, _CLIENTS * part + number, kinds)
                for number in range(_CLIENTS)
            ]
            for one in waiting:
                sent += one.result()
            time.sleep(settle_s)
            resident.append(gateway.resident_bytes())
            progress(f"{sent.total()} requests: {resident[-1] / 2**20:.1f} MiB")
    return Memory(resident, sent, gateway.errors(), time.monotonic() - begin)


def _send(gateway: RunningGateway, count: int, seed: int, names: Sequence[str] | None) -> Counter[str]:
    chosen = [kind for kind in ALL_KINDS if names is None or kind.name in names]
    return send_requests(gateway.endpoints, count, seed, chosen)


def main() -> int:
    """Print the figures."""
    parser = measurement_options(__doc__)
    parser.add_argument("--requests", type=int, default=REQUESTS)
    parser.add_argument("--without", nargs="*", default=[], metavar="WORD", help="kinds to leave out")
    options = parser.parse_args()
    use_cores(options.cores)
    names = [kind.name for kind in ALL_KINDS if not any(word in kind.name for word in options.without)]
    with (
        served_model(None) as served,
        running_gateway(served.model, [served.grpc_port], flags=FLAGS) as gateway,
    ):
        memory = measure_memory(gateway, options.requests, kinds=names)
    print(f"{memory.kinds.total()} requests of {len(memory.kinds)} kinds in {memory.seconds:.0f} s")
    print("resident MiB:", *(f"{size / 2**20:.1f}" for size in memory.resident_bytes))
    print(f"growth after the warm-up: {memory.growth:.1%}")
    print(f"errors that the gateway logged: {len(memory.errors)}")
    for error in memory.errors[:3]:
        print(f"  {error[:1000]}")
    return 1 if memory.errors else 0


if __name__ == "__main__":
    run_command(main)
