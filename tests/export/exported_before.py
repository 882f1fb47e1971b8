"""Exports from before chunk conditioning: four inputs, and a sampler that adds each increment to x."""

from dataclasses import replace
from pathlib import Path

import onnx
import pytest
import torch
from torch import Tensor, nn

from export.checkpoint.digest import file_sha256
from export.formats import onnx_network
from export.formats.format import FORMATS
from export.formats.onnx_graph import save_onnx
from export.formats.onnx_nodes import GraphBuilder
from export.network.model import NitroGen, decode
from export.repository.manifest import GraphFile, write_manifest
from export.repository.served import serve_version
from export.repository.triton_config import read_config, write_config
from export.repository.versions import Version


class NetworkBefore(nn.Module):
    """A network without the inputs of chunk conditioning."""

    def __init__(self, network: NitroGen) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, frames: Tensor, frame_count: Tensor, game_id: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        network = self.network
        keys_values = network.dit.attend_to(network.mix(network.tokens(frames, frame_count, game_id)))
        x = noise
        for step in range(network.steps):
            x = x + network.increment(x, step, keys_values)
        return decode(x, network.old_layout)


def save_onnx_before(network: NitroGen, path: Path) -> None:
    """Save a network with the sampler of before; the new inputs are there, and nothing reads them."""

    def sample(graph: GraphBuilder, model: NitroGen, keys_values: list[tuple[str, str]]) -> str:
        x = graph.reshape("noise", -1, 25)
        for step in range(model.steps):
            x = graph.node("Add", x, onnx_network._increment(graph, model, x, step, keys_values))
        return x

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onnx_network, "_sample", sample)
        save_onnx(network, path)


def make_exported_before(version: Version, network: NitroGen) -> None:
    """Turn the version that is served next into what an export of before has published.

    `network`: what it was made from, in float32.
    """
    form = FORMATS[version.manifest.made.formats[0]]
    path = version.folder / form.file_name
    if form.name == "onnx":
        save_onnx_before(network, path)
        model = onnx.load(path)
        del model.graph.input[4:]
        onnx.save(model, path)
    else:
        torch.jit.script(NetworkBefore(network)).save(str(path))
    config = read_config(version.folder / "config.pbtxt")
    del config.input[4:]
    del config.parameters["conditioning"]
    config.ClearField("model_warmup")
    write_config(config, version.folder)
    files = {path.name: GraphFile(path.stat().st_size, file_sha256(path))}
    write_manifest(replace(version.manifest, files=files), version.folder)
    serve_version(version.folder.parents[1], version.model_name, version.number)
