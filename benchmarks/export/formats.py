"""`python -m benchmarks.export.formats [CHECKPOINT]`: how fast the exported forms are in the real Triton.

TorchScript, ONNX and low precision, each a model of one Triton, against the same network without hoists in
this process: VL self-attention, cross-attention keys and values, time embedding and AdaLN in every sampler
step, as the reference does. `--against COMMIT` takes that commit's exports for it. All take turns, so that a
change of the machine's speed affects all of them.

Without a CHECKPOINT, an untrained one of the released size is made (1.97 GB; it takes minutes and 16 GB of
memory); "demo" stands for the demo's small one.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as in Triton's stubs; before torch is imported

import torch
import tritonclient.grpc
from torch import Tensor

from benchmarks.direct import infer
from benchmarks.export.make_checkpoint import checkpoint_or_untrained
from benchmarks.export.unhoisted import unhoisted
from benchmarks.triton import running_triton
from benchmarks.turns import in_turns
from export.checkpoint.reader import Checkpoint, read_checkpoint
from export.formats.format import FORMATS
from export.formats.self_check import check_inputs
from export.network.model import NitroGen
from export.network.weights import load_model
from export.publish import choose_sampling
from export.repository.versions import Version, versions
from export.settings import FormatName, ModelSettings
from standalone.triton_server import HOST

FORMS: dict[str, tuple[FormatName, str]] = {
    "TorchScript fp32": ("torchscript", "fp32"),
    "ONNX fp32": ("onnx", "fp32"),
    "TorchScript bf16": ("torchscript", "bf16"),
}
WITHOUT_HOISTS = "without hoists"
_CHECKOUT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Published:
    """An exported form, its baseline, and the export's time and memory."""

    version: Version
    baseline: str
    seconds: float
    highest_bytes: int


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", nargs="?", help='an ng.pt file, or "demo"')
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--forms", nargs="+", choices=list(FORMS), default=list(FORMS))
    parser.add_argument("--against", metavar="COMMIT", help="compare with what that commit exports")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        folder = Path(name)
        path = checkpoint_or_untrained(options.checkpoint, folder)
        models = _publish_all(options, path, folder)
        checkpoint = read_checkpoint(path, folder)
        network = load_model(checkpoint, choose_sampling(checkpoint, ModelSettings()))
        with running_triton(folder, [each.version.model_name for each in models.values()]) as port:
            _compare(options, network, checkpoint, models, port)


def _compare(
    options: argparse.Namespace,
    network: NitroGen,
    checkpoint: Checkpoint,
    models: dict[str, Published],
    port: int,
) -> None:
    print(f"{options.rounds} rounds; {os.cpu_count()} cores; {torch.get_num_threads()} threads")
    print(f"{'batch':>5}  {'form':<30} {'median ms':>10} {'ratio':>6} {'per frame':>10} {'mean diff':>10}")
    per_frame: dict[str, float] = {}
    with tritonclient.grpc.InferenceServerClient(f"{HOST}:{port}") as client, torch.inference_mode():
        for batch in options.batch_sizes:
            # The other commit may not know chunk conditioning.
            *inputs, previous_weight = check_inputs(network, batch, seed=batch)
            inputs = (*inputs, torch.zeros_like(previous_weight))
            ways: dict[str, Callable[[], Tensor]] = {}
            if options.against is None:
                ways[WITHOUT_HOISTS] = lambda inputs=inputs: unhoisted(network, checkpoint, inputs)
            for form, published in models.items():
                version = published.version
                ways[form] = lambda inputs=inputs, version=version: infer(client, version, inputs)
            taken = in_turns(ways, options.rounds)
            for way in ways:
                seconds = taken[way].seconds
                cost = seconds / batch
                baseline = models[way].baseline if way in models else way
                difference = (taken[way].answer - taken[baseline].answer).abs().mean().item()
                print(
                    f"{batch:>5}  {way:<30} {seconds * 1e3:>10.1f} "
                    f"{seconds / taken[baseline].seconds:>6.2f} "
                    f"{cost / per_frame.setdefault(way, cost):>10.2f} {difference:>10.1e}",
                    flush=True,
                )
    baseline = "the network without hoists" if options.against is None else f"the form at {options.against}"
    print(f"ratio: to {baseline}; per frame: to the first batch size; difference: of x(1)")
    print(f"{'form':<30} {'export s':>9} {'highest MB':>11} {'file MB':>8} {'serving MB':>11} {'highest':>8}")
    for form, published in models.items():
        size = sum(file.bytes for file in published.version.manifest.files.values())
        resident, highest = _memory_bytes(published.version.model_name)
        print(
            f"{form:<30} {published.seconds:>9.0f} {published.highest_bytes / 1e6:>11.0f} {size / 1e6:>8.0f} "
            f"{resident / 1e6:>11.0f} {highest / 1e6:>8.0f}"
        )


def _publish_all(options: argparse.Namespace, checkpoint: Path, folder: Path) -> dict[str, Published]:
    """Return all forms that are compared, by their names in the tables; each after its baseline."""
    if options.against is None:
        return {form: _publish(options, form, checkpoint, folder) for form in options.forms}
    models = {}
    with _checkout(options.against, folder / "checkout") as code:
        for form in options.forms:
            earlier = f"{form} at {options.against}"
            models[earlier] = _publish(options, form, checkpoint, folder, earlier, code)
            models[form] = _publish(options, form, checkpoint, folder, earlier)
    return models


@contextmanager
def _checkout(commit: str, folder: Path) -> Iterator[Path]:
    """Yield the code of a commit, in a folder of its own."""
    git = ["git", "-C", str(_CHECKOUT), "worktree"]
    subprocess.run([*git, "add", "--quiet", "--detach", str(folder), commit], check=True)
    try:
        yield folder
    finally:
        subprocess.run([*git, "remove", "--force", str(folder)], check=True)


def _publish(
    options: argparse.Namespace,
    form: str,
    checkpoint: Path,
    folder: Path,
    baseline: str = WITHOUT_HOISTS,
    code: Path = _CHECKOUT,
) -> Published:
    """Export in a process of its own, whose memory and time are measured."""
    format_, precision = FORMS[form]
    repository, name = folder / "repository", f"{'benchmark' if code == _CHECKOUT else 'earlier'}-{precision}"
    command = [
        sys.executable,
        "-m",
        "export",
        str(checkpoint),
        f"--repository={repository}",
        f"--name={name}",
    ]
    command += [f"--format={format_}", f"--precision={precision}"]
    command += [f"--max-batch-size={max(options.batch_sizes)}"]
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=code, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{form} cannot be exported: see above")
    [version] = versions(repository, name + FORMATS[format_].suffix)
    return Published(version, baseline, time.perf_counter() - started, usage.ru_maxrss * 1024)


def _memory_bytes(model: str) -> tuple[int, int]:
    """Return resident memory of the stub process that runs a model: now, and at its highest."""
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            try:
                command = (process / "cmdline").read_bytes().decode()
                if "triton_python_backend_stub" in command and f"/{model}/" in command:
                    status = dict(
                        line.split(":", 1) for line in (process / "status").read_text().splitlines()
                    )
                    return tuple(int(status[key].split()[0]) * 1024 for key in ("VmRSS", "VmHWM"))  # type: ignore[return-value]  # two
            except (FileNotFoundError, ProcessLookupError):
                continue
    raise LookupError(f"no stub process of {model}")


if __name__ == "__main__":
    main()
