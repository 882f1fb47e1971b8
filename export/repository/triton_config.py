"""A model's `config.pbtxt`: the commented original in git, filled in with a checkpoint's facts.

Parsed and written with Triton's own protobuf. Free of torch, so that `standalone` can read a repository.
"""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from contract.tensors import input_tensors, output_tensors
from export.errors import RepositoryError
from export.formats.accuracy import Accuracy

CONFIG_NAME = "config.pbtxt"

Format = Literal["torchscript", "onnx"]
_MODELS = Path(__file__).parents[2] / "model_repository"
ORIGINALS: dict[Format, Path] = {
    "torchscript": _MODELS / "nitrogen" / CONFIG_NAME,
    "onnx": _MODELS / "nitrogen-onnx" / CONFIG_NAME,
}

# Of a model's name, so that the forms of one export are models of their own.
SUFFIXES: dict[Format, str] = {"torchscript": "", "onnx": "-onnx"}

DeviceKind = Literal["auto", "cpu", "gpu"]
_KINDS = {
    "auto": model_config_pb2.ModelInstanceGroup.KIND_AUTO,
    "cpu": model_config_pb2.ModelInstanceGroup.KIND_CPU,
    "gpu": model_config_pb2.ModelInstanceGroup.KIND_GPU,
}
_LONGEST_DEADLINE_US = 25_000_000  # the gateway's, on the ZeroMQ port


@dataclass(frozen=True)
class Facts:
    """What the config's `parameters` say of the served version.

    `games`: index = game id, entry 0 None; empty for a model without games. `adapter_sha256`: of a merged
    LoRA adapter, empty without one.
    """

    checkpoint_path: str
    checkpoint_sha256: str
    adapter_sha256: str
    action_horizon: int
    context_length: int
    games: tuple[str | None, ...]
    old_layout: bool
    action_interleaving: bool
    inference_steps: int
    cfg_scale: float
    precision: str
    accuracy: Accuracy


def fill_config(
    facts: Facts,
    *,
    name: str,
    version: int,
    max_batch_size: int,
    max_queue_size: int = 0,
    device_kind: DeviceKind,
    form: Format,
) -> model_config_pb2.ModelConfig:
    """The original config of a form with a checkpoint's shapes and facts; Triton serves `version` only.

    `max_queue_size`: requests that Triton keeps waiting, 0 for no bound of Triton's.
    """
    text = ORIGINALS[form].read_text(encoding="utf-8")
    config = text_format.Parse(text, model_config_pb2.ModelConfig())
    config.name = name
    config.max_batch_size = max_batch_size
    config.version_policy.specific.versions.append(version)
    config.instance_group[0].kind = _KINDS[device_kind]
    if max_queue_size:
        bound_queue(config, max_queue_size)
    inputs = input_tensors(facts.action_horizon, facts.context_length)
    outputs = output_tensors(facts.action_horizon)
    for tensor, contract in zip((*config.input, *config.output), (*inputs, *outputs), strict=True):
        tensor.dims[:] = contract.dims
    for batch_size in range(1, max_batch_size + 1):
        _add_warm_up(config, batch_size)
    for key, value in {
        "checkpoint_path": facts.checkpoint_path,
        "checkpoint_sha256": facts.checkpoint_sha256,
        "adapter_sha256": facts.adapter_sha256,
        "action_horizon": str(facts.action_horizon),
        "context_length": str(facts.context_length),
        "games": json.dumps(facts.games),
        "old_layout": json.dumps(facts.old_layout),
        "action_interleaving": json.dumps(facts.action_interleaving),
        "inference_steps": str(facts.inference_steps),
        "cfg_scale": str(facts.cfg_scale),
        "precision": facts.precision,
        **{f"self_check_{key}": f"{value:.3g}" for key, value in asdict(facts.accuracy).items()},
    }.items():
        config.parameters[key].string_value = value
    return config


def bound_queue(config: model_config_pb2.ModelConfig, max_queue_size: int) -> None:
    """Have Triton refuse requests when `max_queue_size` of them wait, and those that waited too long."""
    policy = config.dynamic_batching.default_queue_policy
    policy.timeout_action = policy.REJECT
    policy.default_timeout_microseconds = _LONGEST_DEADLINE_US
    # Each of the gateway's requests says how much of its own deadline is left.
    policy.allow_timeout_override = True
    policy.max_queue_size = max_queue_size


def _add_warm_up(config: model_config_pb2.ModelConfig, batch_size: int) -> None:
    """Have Triton run a batch of black frames before it calls the model ready."""
    sample = config.model_warmup.add(name=f"batch of {batch_size}", batch_size=batch_size, count=1)
    for tensor in config.input:
        value = sample.inputs[tensor.name]
        value.data_type = tensor.data_type
        value.dims.extend(tensor.dims)
        value.zero_data = True


def write_config(config: model_config_pb2.ModelConfig, folder: Path) -> None:
    """Write a config into a folder, without comments.

    Raises:
        OSError: when it cannot be written.
    """
    (folder / CONFIG_NAME).write_text(text_format.MessageToString(config), encoding="utf-8")


def read_config(path: Path) -> model_config_pb2.ModelConfig:
    """Parse a `config.pbtxt`.

    Raises:
        RepositoryError: when it cannot be read or is no model config.
    """
    try:
        return text_format.Parse(path.read_text(encoding="utf-8"), model_config_pb2.ModelConfig())
    except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
        raise RepositoryError(f"{path} is not a readable Triton model config: {error}") from error


def read_facts(config: model_config_pb2.ModelConfig) -> Facts:
    """Facts of a config that `fill_config` made, also before it knew adapters and precisions.

    Raises:
        RepositoryError: when a parameter is missing or malformed.
    """
    texts = {key: parameter.string_value for key, parameter in config.parameters.items()}
    try:
        return Facts(
            checkpoint_path=texts["checkpoint_path"],
            checkpoint_sha256=texts["checkpoint_sha256"],
            adapter_sha256=texts.get("adapter_sha256", ""),
            action_horizon=int(texts["action_horizon"]),
            context_length=int(texts["context_length"]),
            games=tuple(json.loads(texts["games"])),
            old_layout=bool(json.loads(texts["old_layout"])),
            action_interleaving=bool(json.loads(texts["action_interleaving"])),
            inference_steps=int(texts["inference_steps"]),
            cfg_scale=float(texts["cfg_scale"]),
            precision=texts.get("precision", "fp32"),
            accuracy=Accuracy(
                **{
                    field.name: float(texts.get(f"self_check_{field.name}", 0.0))
                    for field in fields(Accuracy)
                }
            ),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise RepositoryError(f"model {config.name!r} was not published by this export: {error!r}") from error
