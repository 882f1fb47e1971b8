"""How well chunks fit together, as Markdown: python -m benchmarks.smoothness [--seams N] [--steps N].

Two games that come with their packages (stable-retro's Airstriker, and Freedoom by ViZDoom) give consecutive
pictures. A player asks for a chunk every k ticks, and gets it k ticks later, in each of several ways. The
table shows how far each chunk is from the one before, for the same ticks: how many of 21 buttons differ, and
how far a stick's axis jumps, whose range is 2. nitrogen-play then plays both games, and measures the time
from a picture to the actions that answer it. All of it goes through a real gateway and Triton.

Both models have random weights: they show whether chunks fit together, not whether a player still reacts.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from nitrogen_client import ModelClient
from nitrogen_play.interfaces import Picture

from benchmarks.command import measurement_options, progress, run_command, use_cores
from benchmarks.export.make_checkpoint import checkpoint_or_untrained
from benchmarks.gateway.models import served_model
from benchmarks.gateway.process import running_gateway
from benchmarks.gateway.ways import HOST
from benchmarks.smoothness.ages import age
from benchmarks.smoothness.pictures import GAMES, pictures
from benchmarks.smoothness.seams import SEAMS_OF_A_CHAIN, WAYS, chains, seams, steps
from tests.golden import checkpoint_path

_TICKS = (1, 3, 8)
_HOW = {
    "in turns": ("--sync",),
    "`--async`": ("--async", "--no-conditioning"),
    "`--async`, conditioned": ("--async",),
}


def main() -> int:
    """Measure and print both tables for each model."""
    parser = measurement_options(__doc__)
    parser.add_argument("--seams", type=int, default=40, help="seams of each kind (40)")
    parser.add_argument("--steps", type=int, default=300, help="steps of nitrogen-play (300; 0 plays none)")
    options = parser.parse_args()
    use_cores(options.cores)
    count = (SEAMS_OF_A_CHAIN + 1) * -(-options.seams // SEAMS_OF_A_CHAIN)
    seen = {game.title: pictures(game, count * max(_TICKS)) for game in GAMES}
    with TemporaryDirectory(prefix="smoothness-") as folder:
        models = {
            "demo model": checkpoint_or_untrained("demo", Path(folder)),
            "golden checkpoint": checkpoint_path("tiny-ctx"),
        }
        for name, checkpoint in models.items():
            with (
                served_model(checkpoint) as served,
                running_gateway(served.model, [served.grpc_port]) as gateway,
            ):
                _measure(name, gateway.endpoints.zmq, seen, count, options.steps)
    return 0


def _measure(
    model: str, zmq_port: int, seen: Mapping[str, Sequence[Picture]], count: int, steps_played: int
) -> None:
    with ModelClient(HOST, zmq_port) as client:
        for title, frames in seen.items():
            progress(f"{model}: seams of {title}")
            _print_seams(f"{title}, {model}", client, frames, count)
    if steps_played:
        progress(f"{model}: nitrogen-play")
        _print_ages(model, zmq_port, steps_played)


def _print_seams(title: str, client: ModelClient, frames: Sequence[Picture], count: int) -> None:
    got = {
        (way, every): chains(client, frames[: count * every], way, every) for way in WAYS for every in _TICKS
    }
    _print_row([title, *(f"{part}, k = {every}" for every in _TICKS for part in ("all rows", "first"))])
    _print_row(["---"] * (1 + 2 * len(_TICKS)))
    for way in WAYS:
        found = [seams(got[way, every], every) for every in _TICKS]
        _print_row([way.name, *(str(part) for one in found for part in (one.overlap, one.first))])
    print(f"\nNeighbouring rows of one chunk: {steps(got[WAYS[0], 1])}.\n", flush=True)


def _print_ages(title: str, zmq_port: int, steps: int) -> None:
    _print_row([f"{title}, {steps} steps", "median", "largest", "median in ticks", "largest in ticks"])
    _print_row(["---"] * 5)
    for game in GAMES:
        for how, flags in _HOW.items():
            found = age(game, zmq_port, steps, flags)
            times = (f"{found.median_ms} ms", f"{found.largest_ms} ms")
            ticks = (str(found.median_ticks), str(found.largest_ticks))
            _print_row([f"{game.title}, {how}", *times, *ticks])
    print(flush=True)


def _print_row(cells: Sequence[str]) -> None:
    print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    run_command(main)
