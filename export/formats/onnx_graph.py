"""Saving the model as ONNX, and loading it again.

The saved graph must suit Triton's C++ onnxruntime backend: inputs and outputs named like the configured
ones, all of them there whether the checkpoint reads them or not, any batch size, and nothing newer than its
ONNX Runtime.
"""

import os
from collections.abc import Iterable
from pathlib import Path

import onnx
import torch
from onnx import GraphProto, NodeProto, TensorProto, helper
from torch import Tensor

from contract.tensors import INPUT_NAMES, OUTPUT_NAMES, input_tensors, output_tensors
from export.errors import RepositoryError, VerificationError
from export.formats.onnx_network import network_graph
from export.formats.onnx_nodes import ONNX_TYPES
from export.formats.onnx_on_cpu import graph_for_cpu
from export.formats.self_check import Graph, Inputs, Outputs
from export.network.model import NitroGen

# Opset 20 is the first with Gelu; it came with IR version 9, and with ONNX Runtime 1.17. Triton 25.12, the
# oldest that is supported, has 1.23.2.
OPSET = 20
IR_VERSION = 9

_TYPES = {"UINT8": TensorProto.UINT8, "INT64": TensorProto.INT64, "FP32": TensorProto.FLOAT}

# Above this size, weights go to a file of their own: protobuf ends at 2 GB, and wants it all in memory twice.
ONE_FILE_BYTES = 256 << 20
# Smaller weights stay inside; each of the others begins on a page, to be mapped from there.
_PAGE_BYTES = 4096

_WEIGHTS_FOLDER = "session.model_external_initializers_file_folder_path"


def save_onnx(model: NitroGen, path: Path, *, one_file_bytes: int = ONE_FILE_BYTES) -> None:
    """Write the model to `path`, down to the disk, and check what was written.

    Args:
        model: the network, its matrix products in any precision.
        path: the file; Triton looks for `<version>/model.onnx`.
        one_file_bytes: if all weights are more than this, the large ones go to `<path>.data`, which has to
            stay beside it.

    Raises:
        RepositoryError: when a file cannot be written.
        VerificationError: when ONNX's checker refuses the graph.
    """
    network = network_graph(model)
    need = sum(tensor.nbytes for tensor in network.weights.values())
    data_path = path.with_name(f"{path.name}.data")
    initializers, outside, data_size = [], [], 0
    for name, tensor in network.weights.items():
        initializer = TensorProto(name=name, data_type=ONNX_TYPES[tensor.dtype], dims=tensor.shape)
        if need > one_file_bytes and tensor.nbytes >= _PAGE_BYTES:
            initializer.data_location = TensorProto.EXTERNAL
            place = {"location": data_path.name, "offset": data_size, "length": tensor.nbytes}
            for key, value in place.items():
                initializer.external_data.add(key=key, value=str(value))
            outside.append(tensor)
            data_size += -(-tensor.nbytes // _PAGE_BYTES) * _PAGE_BYTES
        else:
            initializer.raw_data = bytes(_content(tensor))
        initializers.append(initializer)
    graph = _graph(network.nodes, initializers, model.context_length, model.horizon)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    try:
        if outside:
            _write(data_path, map(_content, outside), data_size)
        serialized = memoryview(proto.SerializeToString(deterministic=True))
        _write(path, [serialized], len(serialized))
    except OSError as error:
        raise RepositoryError(
            f"{need / 1e9:.2f} GB for {path} cannot be written ({error.strerror}): "
            "free some space, or choose another --repository"
        ) from error
    check_onnx(path)


def check_onnx(path: Path) -> None:
    """Have ONNX's own checker look at a saved graph, types and shapes included.

    Raises:
        VerificationError: when it refuses the graph.
    """
    try:
        onnx.checker.check_model(str(path), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise VerificationError(
            "ONNX's checker refuses the saved graph, so nothing was published; "
            f"export with --format torchscript. It says: {error}"
        ) from error


def load_onnx(path: Path) -> Graph:
    """Return the saved graph, to be run by ONNX Runtime on the CPU."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read at the import
    import onnxruntime  # noqa: PLC0415 - a TorchScript export does without

    options = onnxruntime.SessionOptions()
    # Threads that spin while they wait take the cores from torch's.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry(_WEIGHTS_FOLDER, str(path.parent))  # for a graph from memory
    session = onnxruntime.InferenceSession(graph_for_cpu(path), options, providers=["CPUExecutionProvider"])

    def run(inputs: Inputs) -> Outputs:
        arrays = {name: tensor.numpy() for name, tensor in zip(INPUT_NAMES, inputs, strict=True)}
        j_left, j_right, buttons, actions = map(torch.from_numpy, session.run(OUTPUT_NAMES, arrays))
        return j_left, j_right, buttons, actions

    return run


def _graph(nodes: list[NodeProto], weights: list[TensorProto], context: int, horizon: int) -> GraphProto:
    """Return the graph with its contract: inputs and outputs, each with the batch as first dimension."""
    inputs, outputs = (
        [
            helper.make_tensor_value_info(tensor.name, _TYPES[tensor.data_type], ["batch", *tensor.dims])
            for tensor in tensors
        ]
        for tensors in (input_tensors(horizon, context), output_tensors(horizon))
    )
    return helper.make_graph(nodes, "nitrogen", inputs, outputs, weights)


def _content(tensor: Tensor) -> memoryview:
    """Return a tensor's bytes, row-major."""
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data


def _write(path: Path, parts: Iterable[memoryview], size: int) -> None:
    """Write each part from a page's beginning on, and everything down to the disk."""
    with path.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, size)  # so that a full disk is known at once
        for part in parts:
            file.write(part)
            file.seek(-file.tell() % _PAGE_BYTES, os.SEEK_CUR)
        file.flush()
        os.fsync(file.fileno())
