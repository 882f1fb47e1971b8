"""`python -m benchmarks.export [CHECKPOINT]`: what the export's hoists bring.

The exported TorchScript against the same model without hoists: VL self-attention, cross-attention keys and
values, time embedding and AdaLN in every sampler step, as the reference does. The two take turns, so that a
change of the machine's speed meets both. Without a CHECKPOINT, the demo's architecture is measured.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from export.checkpoint.reader import Checkpoint, read_checkpoint
from export.formats.torchscript import Inputs, random_inputs, save_torchscript
from export.network.model import NitroGen, Sampling
from export.network.time_tables import time_buckets, time_tables
from export.network.weights import load_model
from standalone.demo import write_demo_checkpoint

Outputs = tuple[Tensor, Tensor, Tensor, Tensor]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", nargs="?", type=Path)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = read_checkpoint(options.checkpoint or write_demo_checkpoint(Path(folder, "demo")))
        model = _load(checkpoint)
        path = Path(folder, "model.pt")
        save_torchscript(model, path)
        exported = torch.jit.load(str(path)).eval()
    print("batch  without hoists     exported  ratio  per frame  difference")
    with torch.inference_mode(), torch.jit.optimized_execution(False):
        first_per_frame = 0.0
        for batch in options.batch_sizes:
            inputs = random_inputs(model, batch, seed=batch)
            plain_s, exported_s = _interleaved(
                lambda inputs=inputs: unhoisted(model, checkpoint, inputs),
                lambda inputs=inputs: exported(*inputs),
                options.rounds,
            )
            per_frame = exported_s / batch
            first_per_frame = first_per_frame or per_frame
            difference = (unhoisted(model, checkpoint, inputs)[-1] - exported(*inputs)[-1]).abs().max().item()
            print(
                f"{batch:>5} {plain_s * 1e3:>12.1f} ms {exported_s * 1e3:>9.1f} ms"
                f" {exported_s / plain_s:>6.2f} {per_frame / first_per_frame:>10.2f} {difference:>11.1e}"
            )
    print("ratio: exported / without hoists; per frame: cost of a frame relative to the first batch size")


def unhoisted(model: NitroGen, checkpoint: Checkpoint, inputs: Inputs) -> Outputs:
    """The model's chunk with everything but the vision tower computed again in every step."""
    frames, frame_count, game_id, x = inputs
    config = checkpoint.config.model_cfg
    sequence = model.tokens(frames, frame_count, game_id)
    for bucket in time_buckets(model.steps, config.num_timestep_buckets):
        keys_values = model.dit.attend_to(model.mix(sequence))
        tables = time_tables(
            checkpoint.tensors, [bucket], config.diffusion_model_cfg.num_layers, config.hidden_size
        )
        hidden = model.action_encoder(x, tables.tau[0])
        hidden = model.dit(hidden, keys_values, tables.block_adaln[0], tables.out_adaln[0])
        x = x + model.action_decoder(hidden) / model.steps
    return model.decode(x)


def _load(checkpoint: Checkpoint) -> NitroGen:
    config = checkpoint.config
    sampling = Sampling(config.modality_cfg.frame_per_sample, config.model_cfg.num_inference_timesteps, 1.0)
    return load_model(checkpoint.tensors, config, checkpoint.vision, len(checkpoint.games), sampling)


def _interleaved(one: Callable[[], object], other: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Median seconds of each, the two taking turns after a warm-up."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for turn in range(rounds + 1):
        for call, times in zip((one, other), seconds, strict=True):
            started = time.perf_counter()
            call()
            if turn:
                times.append(time.perf_counter() - started)
    return statistics.median(seconds[0]), statistics.median(seconds[1])


if __name__ == "__main__":
    main()
