"""A Python-based Triton backend named `pytorch`: serves the TorchScript models of the C++ libtorch backend.

Triton loads this file in a stub process for every instance of a model whose config says `backend: "pytorch"`.
Each dynamic batch arrives as one list of requests and runs as one call of the model, on a GPU inside a CUDA
graph. NITROGEN_CUDA_GRAPHS=off turns the graphs off; `stand-in` runs all but CUDA's own part on a CPU.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import torch
import triton_python_backend_utils as pb_utils
from torch.utils.dlpack import from_dlpack

if TYPE_CHECKING:
    from standalone.backends.pytorch.graph_engine.engine import DirectEngine, Engine, GraphEngine
    from standalone.backends.pytorch.graph_engine.lost_device import is_lost
    from standalone.backends.pytorch.graph_engine.metrics import GraphMetrics
    from standalone.backends.pytorch.graph_engine.recorders import CudaGraphs, Forward, Recorder, StandIn
    from standalone.backends.pytorch.packed_linears import pack_linears
else:
    # Triton has this file's folder on the path.
    from graph_engine.engine import DirectEngine, GraphEngine
    from graph_engine.lost_device import is_lost
    from graph_engine.metrics import GraphMetrics
    from graph_engine.recorders import CudaGraphs, StandIn
    from packed_linears import pack_linears

# Below this size of its file, a model's operations are too short for a second thread to pay for its waking.
_ONE_THREAD_BYTES = 64 << 20


class TritonPythonModel:
    """One instance of one version of a model, as Triton's Python backend wants it."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load `<model folder>/<version>/model.pt` on the instance's device, and record its graphs."""
        config = json.loads(args["model_config"])
        self.name = args["model_name"]
        self.device = device = _device(args)
        file_name = config.get("default_model_filename") or "model.pt"
        path = Path(args["model_repository"], args["model_version"], file_name)
        if path.stat().st_size < _ONE_THREAD_BYTES:
            torch.set_num_threads(1)
        self.input_names = [tensor["name"] for tensor in config["input"]]
        self.output_names = [tensor["name"] for tensor in config["output"]]
        # The C++ backend's parameter of this name does the same.
        unoptimized = config["parameters"].get("DISABLE_OPTIMIZED_EXECUTION", {"string_value": "false"})
        self.optimized = unoptimized["string_value"] != "true"
        model = torch.jit.load(str(path), map_location=device).eval()
        if device.type == "cpu":
            pack_linears(model)
        recorder = _recorder(device)
        if recorder is not None and not _has_fixed_shapes(config):
            pb_utils.Logger.log_warn(
                f"{args['model_name']} is served without CUDA graphs, which need fixed dims"
            )
            recorder = None
        self.engine: Engine
        self.metrics: GraphMetrics | None = None
        if recorder is None:
            self.engine = DirectEngine(model, device)
        else:
            self.engine = self._graph_engine(model, device, recorder, config, args)

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer a dynamic batch: run the model once, and split its outputs.

        Like the C++ backend: if the model raises, every request of the batch gets the error.
        """
        # DLPack, because the stub's numpy bridge gives empty tensors under numpy 2.
        batch = {
            name: [
                from_dlpack(pb_utils.get_input_tensor_by_name(request, name).to_dlpack())
                for request in requests
            ]
            for name in self.input_names
        }
        sizes = [tensor.size(0) for tensor in batch[self.input_names[0]]]
        try:
            with torch.jit.optimized_execution(self.optimized):  # type: ignore[attr-defined] # untyped
                run = self.engine.run(batch)
        except RuntimeError as error:
            if is_lost(self.device, error):
                _end(f"{self.name} ends, because {self.device} fails every call from now on: {error}")
            # One response each: a shared one loses its message after the first.
            return [pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error))) for _ in requests]
        if self.metrics is not None:
            self.metrics.count(run)
        split = [output.split(sizes) for output in run.outputs]
        return [
            pb_utils.InferenceResponse(
                [
                    pb_utils.Tensor.from_dlpack(name, parts[index].contiguous())
                    for name, parts in zip(self.output_names, split, strict=True)
                ]
            )
            for index in range(len(requests))
        ]

    def _graph_engine(
        self,
        model: "Forward",
        device: torch.device,
        recorder: "Recorder",
        config: dict[str, Any],
        args: dict[str, str],
    ) -> "GraphEngine":
        """Record the graphs, and log the outcome."""
        sample = {
            tensor["name"]: torch.from_numpy(
                np.zeros((1, *map(int, tensor["dims"])), pb_utils.triton_string_to_numpy(tensor["data_type"]))
            )
            for tensor in config["input"]
        }
        start = time.monotonic()
        with torch.jit.optimized_execution(self.optimized):  # type: ignore[attr-defined] # untyped
            engine = GraphEngine(model, device, sample, config["max_batch_size"], recorder)
        name, version = args["model_name"], args["model_version"]
        recorded = [bucket for bucket in engine.buckets if bucket not in engine.failures]
        memory = ", ".join(f"{size}: {engine.memory_bytes[size] / 2**20:.0f}" for size in recorded)
        pb_utils.Logger.log_info(
            f"{name} version {version} on {device}: {len(recorded)} graphs recorded in "
            f"{time.monotonic() - start:.1f} s; MiB of memory by batch size: {memory or 'none'}"
        )
        if engine.failures:
            failed = ", ".join(map(str, sorted(engine.failures)))
            pb_utils.Logger.log_warn(
                f"{name} version {version} on {device} serves batches of {failed} without a "
                f"graph: {next(iter(engine.failures.values()))}"
            )
        labels = {"model": name, "version": version, "device": str(device)}
        self.metrics = GraphMetrics(engine, {**labels, "model_instance": args["model_instance_name"]})
        return engine


def _end(reason: str) -> NoReturn:
    """End the stub, and with it Triton: the keeper does that, for Triton starts no stub again."""
    # Triton's own log would be written by a thread that ends, too.
    sys.stderr.write(f"error: {reason}\n")
    sys.stderr.flush()
    os._exit(1)


def _has_fixed_shapes(config: dict[str, Any]) -> bool:
    return config["max_batch_size"] > 0 and all(
        int(dim) > 0 for tensor in config["input"] for dim in tensor["dims"]
    )


def _recorder(device: torch.device) -> "Recorder | None":
    """Return the recorder that NITROGEN_CUDA_GRAPHS asks for on this device; None for no graphs."""
    setting = os.environ.get("NITROGEN_CUDA_GRAPHS") or "auto"
    match setting:
        case "stand-in":
            return StandIn()
        case "auto" if device.type == "cuda":
            return CudaGraphs(device)
        case "auto" | "off":
            return None
        case _:
            raise ValueError(f"NITROGEN_CUDA_GRAPHS is {setting!r}: give auto, off or stand-in")


def _device(args: dict[str, str]) -> torch.device:
    """Return where the model runs: on its instance's GPU, if this PyTorch has CUDA."""
    if args["model_instance_kind"] != "GPU":
        return torch.device("cpu")
    if not torch.backends.cuda.is_built():
        pb_utils.Logger.log_warn(
            f"{args['model_name']} runs on the CPU: this PyTorch has no CUDA; install its CUDA build"
        )
        return torch.device("cpu")
    return torch.device(f"cuda:{args['model_instance_device_id']}")
