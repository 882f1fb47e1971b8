"""The cost of a bound on Triton's own queue for players: `python -m benchmarks.export.queue_policy`.

One Triton serves a model twice, whose batches take some milliseconds: as it is exported by default, and as
with `--max-queue-size 256`. Players, each on a connection of its own, ask for actions, play them, and ask
again; they take turns on the two models.
"""

import argparse
import random
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tritonclient.grpc import model_config_pb2

from benchmarks.command import progress, run_command
from benchmarks.gateway.load import Measured, Rates, rates
from benchmarks.gateway.models import publish_identity_model
from benchmarks.gateway.ways import Endpoints, prebuilt_grpc
from benchmarks.triton import running_triton
from benchmarks.turns import rotated
from export.repository.triton_config import bound_queue

_MODELS = ("as exported", "with a queue policy")


def main() -> int:
    """Measure, and print a table in Markdown."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.export.queue_policy", description=__doc__)
    parser.add_argument("--players", type=int, nargs="+", default=[2, 4, 8], help="default: 2 4 8")
    parser.add_argument("--batch-ms", type=float, default=40, help="what a batch takes (default: 40)")
    parser.add_argument(
        "--play-ms", type=float, default=300, help="how long actions are played (default: 300)"
    )
    parser.add_argument("--seconds", type=float, default=10, help="of each round (default: 10)")
    parser.add_argument("--rounds", type=int, default=3, help="default: 3")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        folder = Path(name)
        models = [
            _publish(folder / "repository", options.batch_ms, bounded=bounded) for bounded in (False, True)
        ]
        with running_triton(folder, models) as port:
            endpoints = [Endpoints(model, port, 0, 0) for model in models]
            sys.stdout.write(
                f"A batch takes {options.batch_ms:g} ms, actions are played for {options.play_ms:g} ms.\n\n"
                "| players | config | p50 ms | p99 ms | p50, relative | p99, relative |\n"
                "|---|---|---|---|---|---|\n"
            )
            for players in options.players:
                _measure(endpoints, players, options)
    return 0


def _measure(endpoints: list[Endpoints], players: int, options: argparse.Namespace) -> None:
    found: dict[str, list[Rates]] = {name: [] for name in _MODELS}
    for number in range(options.rounds):
        for name, endpoint in rotated(list(zip(_MODELS, endpoints, strict=True)), number):
            progress(f"{players} players, round {number + 1} of {options.rounds}, {name}")
            with ThreadPoolExecutor(players) as pool:
                games = [pool.submit(_play, endpoint, options) for _ in range(players)]
                found[name].append(rates([game.result() for game in games]))
    for name in _MODELS:
        pairs = list(zip(found[name], found[_MODELS[0]], strict=True))
        p50, p99 = (
            statistics.median(getattr(one, field) for one in found[name]) for field in ("p50_ms", "p99_ms")
        )
        relative = [
            statistics.median(getattr(one, field) / getattr(other, field) for one, other in pairs)
            for field in ("p50_ms", "p99_ms")
        ]
        sys.stdout.write(
            f"| {players} | {name} | {p50:.1f} | {p99:.1f} | {relative[0]:.2f} | {relative[1]:.2f} |\n"
        )
        sys.stdout.flush()


def _play(endpoints: Endpoints, options: argparse.Namespace) -> Measured:
    """Return one player's round: ask, play, ask again."""
    latencies = []
    with prebuilt_grpc(endpoints) as ask:
        time.sleep(random.random() * options.play_ms / 1000)
        end = time.monotonic() + options.seconds
        while time.monotonic() < end:
            begin = time.perf_counter()
            ask()
            latencies.append(time.perf_counter() - begin)
            time.sleep(options.play_ms / 1000)
    return Measured(len(latencies) / options.seconds, latencies)


def _publish(repository: Path, batch_ms: float, *, bounded: bool) -> str:
    """Write the model, with or without a bound on its queue; its name."""

    def change(config: model_config_pb2.ModelConfig) -> None:
        config.parameters["batch_ms"].string_value = str(batch_ms)
        if bounded:
            config.name += "-bounded"
            bound_queue(config, 256)

    return publish_identity_model(repository, change)


if __name__ == "__main__":
    run_command(main)
