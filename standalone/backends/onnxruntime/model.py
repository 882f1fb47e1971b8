"""A Python-based Triton backend named `onnxruntime`: serves the ONNX models of the C++ onnxruntime backend.

Triton loads this file in a stub process for every model whose config says `backend: "onnxruntime"`. Each
dynamic batch arrives as one list of requests and runs as one call of the model.
"""

import ctypes
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils
from numpy.typing import NDArray
from onnxruntime.capi.onnxruntime_pybind11_state import EPFail, Fail, InvalidArgument, RuntimeException
from onnxruntime.capi.onnxruntime_pybind11_state import NotImplemented as NoKernelError

# Below this size of its files, a model's operations are too short for a second thread to pay for its waking.
_ONE_THREAD_BYTES = 64 << 20


class TritonPythonModel:
    """One instance of one version of a model, as Triton's Python backend wants it."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load `<model folder>/<version>/model.onnx` for the instance's device."""
        config = json.loads(args["model_config"])
        file_name = config.get("default_model_filename") or "model.onnx"
        path = Path(args["model_repository"], args["model_version"], file_name)
        options = onnxruntime.SessionOptions()
        # Waiting threads would otherwise spin, on cores that gateway and clients need.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # The C++ backend's parameter of this name does the same.
        threads = int(
            config["parameters"].get("intra_op_thread_count", {"string_value": "0"})["string_value"]
        )
        size = sum(file.stat().st_size for file in path.parent.glob(f"{file_name}*"))
        options.intra_op_num_threads = threads or (1 if size < _ONE_THREAD_BYTES else 0)
        providers = _providers(args)
        try:
            self.session = onnxruntime.InferenceSession(str(path), options, providers=providers)
        except NoKernelError as error:
            raise pb_utils.TritonModelException(
                f"{args['model_name']} needs operators that this onnxruntime does not have, as bf16 does on "
                f"CPUs: export with --precision fp32, or run it on a GPU with onnxruntime-gpu ({error})"
            ) from error
        self.input_names = [tensor["name"] for tensor in config["input"]]
        self.output_names = [tensor["name"] for tensor in config["output"]]

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer a dynamic batch: concatenate, run the model once, split.

        Like the C++ backend: if the model raises, every request of the batch gets the error.
        """
        # DLPack, because the stub's numpy bridge gives empty tensors under numpy 2.
        batches = {
            name: [np.from_dlpack(pb_utils.get_input_tensor_by_name(request, name)) for request in requests]
            for name in self.input_names
        }
        ends = np.cumsum([len(array) for array in batches[self.input_names[0]]])
        inputs = {name: np.concatenate(parts) for name, parts in batches.items()}
        try:
            outputs = self.session.run(self.output_names, inputs)
        except (EPFail, Fail, InvalidArgument, RuntimeException) as error:
            # One response each: a shared one loses its message after the first.
            return [pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error))) for _ in requests]
        split = [np.split(output, ends[:-1]) for output in outputs]
        return [
            pb_utils.InferenceResponse(
                [
                    pb_utils.Tensor.from_dlpack(name, _lent(parts[index]))
                    for name, parts in zip(self.output_names, split, strict=True)
                ]
            )
            for index in range(len(requests))
        ]


def _lent(array: NDArray[Any]) -> object:
    """Return an array as a DLPack capsule without numpy's destructor; Triton frees what it takes.

    Triton renames the capsule in a way that numpy does not recognise, so numpy's destructor would write an
    error to the log for every tensor.
    """
    capsule: object = array.__dlpack__()
    ctypes.pythonapi.PyCapsule_SetDestructor(ctypes.py_object(capsule), None)
    return capsule


def _providers(args: dict[str, str]) -> list[Any]:
    """Return what runs the nodes, best first: CUDA for a GPU instance, if this ONNX Runtime has it."""
    if args["model_instance_kind"] != "GPU":
        return ["CPUExecutionProvider"]
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        pb_utils.Logger.log_warn(
            f"{args['model_name']} runs on the CPU: this onnxruntime has no CUDA; install onnxruntime-gpu"
        )
        return ["CPUExecutionProvider"]
    device_id = args["model_instance_device_id"]
    return [("CUDAExecutionProvider", {"device_id": device_id}), "CPUExecutionProvider"]
