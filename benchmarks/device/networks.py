"""An untrained network on a device, in the ways in which it can run there."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MethodType
from typing import Literal, cast

import torch
from torch import Tensor, nn

from benchmarks.export.make_checkpoint import checkpoint_or_untrained
from benchmarks.export.unhoisted import unhoisted
from contract.tensors import INPUT_NAMES
from export.checkpoint.config import parse_config
from export.checkpoint.demo import TOWER_NAME
from export.checkpoint.reader import Checkpoint
from export.checkpoint.vision_config import KNOWN_TOWERS, read_vision_config
from export.formats.self_check import Inputs
from export.network.layers import Linear
from export.network.model import NitroGen, Sampling
from export.network.precision import DTYPES, lower_precision
from export.network.transformer import DiTBlock
from export.network.weights import load_model
from export.settings import Precision

Size = Literal["demo", "released"]


@dataclass(frozen=True)
class OnDevice:
    """A checkpoint's network, to be made on `device` with its products in `precision`."""

    checkpoint: Checkpoint
    device: torch.device
    precision: Precision

    @property
    def sampling(self) -> Sampling:
        """The checkpoint's own."""
        config = self.checkpoint.config
        return Sampling(
            config.modality_cfg.frame_per_sample, config.model_cfg.num_inference_timesteps, cfg_scale=1.0
        )

    def exported(self) -> NitroGen:
        """Return the network that an export saves."""
        network = load_model(self.checkpoint, self.sampling)
        lower_precision(network, self.precision)
        return network.to(self.device)

    def scripted(self) -> NitroGen:
        """Return the exported network as TorchScript, saved and loaded again, with the network's methods."""
        file = io.BytesIO()
        torch.jit.save(torch.jit.script(self.exported()), file)
        file.seek(0)
        return cast("NitroGen", torch.jit.load(file, map_location=self.device).eval())

    def with_compiled_blocks(self) -> NitroGen:
        """Return the exported network; each DiT block is compiled at its first call with a batch size."""
        network = self.exported()
        for module in network.modules():
            if isinstance(module, DiTBlock):
                module.compile(mode="max-autotune-no-cudagraphs", dynamic=False)
        return network

    def without_hoists(self) -> "WithoutHoists":
        """Return the network as the reference runs it."""
        return WithoutHoists(self)


class WithoutHoists:
    """The network as the reference runs it: most of it in each sampler step, float32 weights, autocast."""

    def __init__(self, of: OnDevice) -> None:
        # Autocast casts a weight once a frame if a training could change it.
        self.network = load_model(of.checkpoint, of.sampling).to(of.device).requires_grad_(requires_grad=True)
        for module in self.network.modules():
            if isinstance(module, Linear):  # whose own casts are autocast's work here
                module.forward = MethodType(nn.Linear.forward, module)  # type: ignore[method-assign]
        per_step = ("model.", "action_encoder.")
        tensors = {
            name: tensor.to(of.device)
            for name, tensor in of.checkpoint.tensors.items()
            if name.startswith(per_step)
        }
        self.checkpoint = replace(of.checkpoint, tensors=tensors)
        self.dtype = DTYPES[of.precision]

    def __call__(self, **inputs: Tensor) -> Sequence[Tensor]:
        """Return x(1) alone: (B, H, 25)."""
        device = inputs["noise"].device
        given = cast("Inputs", tuple(inputs[name] for name in INPUT_NAMES))
        with torch.autocast(device.type, self.dtype, enabled=self.dtype != torch.float32):
            return (unhoisted(self.network, self.checkpoint, given),)


def untrained(size: Size, folder: Path) -> Checkpoint:
    """Write a checkpoint of the demo's or the released size (1.97 GB) to `folder`, and map it."""
    path = checkpoint_or_untrained("demo" if size == "demo" else None, folder)
    content = torch.load(path, weights_only=True, mmap=True)
    config = parse_config(content["ckpt_config"])
    if size == "demo":
        vision = read_vision_config(path.parent / TOWER_NAME / "config.json")
    else:
        vision = KNOWN_TOWERS[config.model_cfg.vision_encoder_name]
    return Checkpoint(path, "", content["model"], config, vision, ())
