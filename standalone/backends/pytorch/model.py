"""A Python-based Triton backend named `pytorch`: serves the TorchScript models of the C++ libtorch backend.

Triton loads this file in a stub process for every model whose config says `backend: "pytorch"`. Each dynamic
batch arrives as one list of requests and runs as one call of the model.
"""

import json
from pathlib import Path
from typing import Any

import torch
import triton_python_backend_utils as pb_utils
from torch.utils.dlpack import from_dlpack

# Below this size of its file, a model's operations are too short for a second thread to pay for its waking.
_ONE_THREAD_BYTES = 64 << 20


class TritonPythonModel:
    """One instance of one version of a model, as Triton's Python backend wants it."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load `<model folder>/<version>/model.pt` on the instance's device."""
        config = json.loads(args["model_config"])
        device = _device(args)
        file_name = config.get("default_model_filename") or "model.pt"
        path = Path(args["model_repository"], args["model_version"], file_name)
        if path.stat().st_size < _ONE_THREAD_BYTES:
            torch.set_num_threads(1)
        self.model = torch.jit.load(str(path), map_location=device).eval()
        self.device = device
        self.input_names = [tensor["name"] for tensor in config["input"]]
        self.output_names = [tensor["name"] for tensor in config["output"]]
        # The C++ backend's parameter of this name does the same.
        unoptimized = config["parameters"].get("DISABLE_OPTIMIZED_EXECUTION", {"string_value": "false"})
        self.optimized = unoptimized["string_value"] != "true"

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer a dynamic batch: concatenate, run the model once, split.

        Like the C++ backend: if the model raises, every request of the batch gets the error.
        """
        # DLPack, because the stub's numpy bridge gives empty tensors under numpy 2.
        batches = {
            name: [
                from_dlpack(pb_utils.get_input_tensor_by_name(request, name).to_dlpack())
                for request in requests
            ]
            for name in self.input_names
        }
        sizes = [tensor.size(0) for tensor in batches[self.input_names[0]]]
        try:
            with torch.inference_mode(), torch.jit.optimized_execution(self.optimized):  # type: ignore[attr-defined] # untyped
                outputs = self.model(
                    **{name: torch.cat(parts).to(self.device) for name, parts in batches.items()}
                )
        except RuntimeError as error:
            # A response of its own for each: a shared one loses its message after the first.
            return [pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error))) for _ in requests]
        split = [output.to("cpu").split(sizes) for output in outputs]
        return [
            pb_utils.InferenceResponse(
                [
                    pb_utils.Tensor.from_dlpack(name, parts[index].contiguous())
                    for name, parts in zip(self.output_names, split, strict=True)
                ]
            )
            for index in range(len(requests))
        ]


def _device(args: dict[str, str]) -> torch.device:
    """Where the model runs: on its instance's GPU, if this PyTorch has CUDA."""
    if args["model_instance_kind"] != "GPU":
        return torch.device("cpu")
    if not torch.backends.cuda.is_built():
        pb_utils.Logger.log_warn(
            f"{args['model_name']} runs on the CPU: this PyTorch has no CUDA; install its CUDA build"
        )
        return torch.device("cpu")
    return torch.device(f"cuda:{args['model_instance_device_id']}")
