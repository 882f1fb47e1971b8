"""A model's `config.pbtxt`: the commented original in git, filled in with a checkpoint's facts.

Parsed and written with Triton's own protobuf. Free of torch, so that `standalone` can read a repository.
"""

from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from contract.facts import Facts, FactsError, facts_from_parameters
from contract.tensors import input_tensors, output_tensors
from export.errors import RepositoryError
from export.formats.format import CONFIG_NAME, Format
from export.settings import ModelSettings

_MAX_DEADLINE_US = 25_000_000  # the gateway's, on the ZeroMQ port


def fill_config(
    facts: Facts, form: Format, made: ModelSettings, *, name: str, version: int
) -> model_config_pb2.ModelConfig:
    """Return a format's original config with a version's shapes, facts and settings."""
    assert made.max_batch_size is not None  # noqa: S101 - it was made with one
    text = form.original.read_text(encoding="utf-8")
    config = text_format.Parse(text, model_config_pb2.ModelConfig())
    config.name = name
    config.max_batch_size = made.max_batch_size
    config.version_policy.specific.versions.append(version)
    config.instance_group[0].kind = model_config_pb2.ModelInstanceGroup.Kind.Value(
        f"KIND_{made.device_kind.upper()}"
    )
    config.instance_group[0].count = made.triton_instances
    if made.max_queue_size:
        bound_queue(config, made.max_queue_size)
    inputs = input_tensors(facts.horizon, facts.context_length)
    outputs = output_tensors(facts.horizon)
    for tensor, contract in zip((*config.input, *config.output), (*inputs, *outputs), strict=True):
        tensor.dims[:] = contract.dims
    for batch_size in range(1, made.max_batch_size + 1):
        _add_warm_up(config, batch_size)
    for key, value in facts.to_parameters().items():
        config.parameters[key].string_value = value
    return config


def bound_queue(config: model_config_pb2.ModelConfig, max_queue_size: int) -> None:
    """Have Triton refuse requests when `max_queue_size` of them wait, and those that waited too long."""
    policy = config.dynamic_batching.default_queue_policy
    policy.timeout_action = policy.REJECT
    policy.default_timeout_microseconds = _MAX_DEADLINE_US
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
        RepositoryError: when it cannot be read or is not a model config.
    """
    try:
        return text_format.Parse(path.read_text(encoding="utf-8"), model_config_pb2.ModelConfig())
    except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
        raise RepositoryError(f"{path} is not a readable Triton model config: {error}") from error


def read_facts(config: model_config_pb2.ModelConfig) -> Facts:
    """Return the facts of a config that `fill_config` made.

    Raises:
        RepositoryError: when a parameter is missing or malformed.
    """
    try:
        return facts_from_parameters({key: value.string_value for key, value in config.parameters.items()})
    except FactsError as error:
        raise RepositoryError(f"model {config.name!r} was not published by this export: {error}") from error
