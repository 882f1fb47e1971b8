"""The model's `config.pbtxt`: the commented original in git, filled in with a checkpoint's facts.

Parsed and written with Triton's own protobuf. Free of torch, so that `standalone` can read a repository.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from export.errors import RepositoryError

ORIGINAL = Path(__file__).parents[2] / "model_repository" / "nitrogen" / "config.pbtxt"
CONFIG_NAME = "config.pbtxt"

DeviceKind = Literal["auto", "cpu", "gpu"]
_KINDS = {
    "auto": model_config_pb2.ModelInstanceGroup.KIND_AUTO,
    "cpu": model_config_pb2.ModelInstanceGroup.KIND_CPU,
    "gpu": model_config_pb2.ModelInstanceGroup.KIND_GPU,
}


@dataclass(frozen=True)
class Facts:
    """What the config's `parameters` say of the served version.

    `games`: index = game id, entry 0 None; empty for a model without games.
    """

    checkpoint_path: str
    checkpoint_sha256: str
    action_horizon: int
    context_length: int
    games: tuple[str | None, ...]
    old_layout: bool
    action_interleaving: bool
    inference_steps: int
    cfg_scale: float


def fill_config(
    facts: Facts, *, name: str, version: int, max_batch_size: int, device_kind: DeviceKind
) -> model_config_pb2.ModelConfig:
    """The original config with a checkpoint's shapes and facts; Triton is to serve `version` only."""
    config = text_format.Parse(ORIGINAL.read_text(encoding="utf-8"), model_config_pb2.ModelConfig())
    config.name = name
    config.max_batch_size = max_batch_size
    config.version_policy.specific.versions.append(version)
    config.instance_group[0].kind = _KINDS[device_kind]
    for tensor in (*config.input, *config.output):
        if tensor.name == "frames":
            tensor.dims[0] = facts.context_length
        elif tensor.name in {"noise", "j_left", "j_right", "buttons", "actions"}:
            tensor.dims[0] = facts.action_horizon
    for key, text in {
        "checkpoint_path": facts.checkpoint_path,
        "checkpoint_sha256": facts.checkpoint_sha256,
        "action_horizon": str(facts.action_horizon),
        "context_length": str(facts.context_length),
        "games": json.dumps(facts.games),
        "old_layout": json.dumps(facts.old_layout),
        "action_interleaving": json.dumps(facts.action_interleaving),
        "inference_steps": str(facts.inference_steps),
        "cfg_scale": str(facts.cfg_scale),
    }.items():
        config.parameters[key].string_value = text
    return config


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
    """Facts of a config that `fill_config` made.

    Raises:
        RepositoryError: when a parameter is missing or malformed.
    """
    texts = {key: parameter.string_value for key, parameter in config.parameters.items()}
    try:
        return Facts(
            checkpoint_path=texts["checkpoint_path"],
            checkpoint_sha256=texts["checkpoint_sha256"],
            action_horizon=int(texts["action_horizon"]),
            context_length=int(texts["context_length"]),
            games=tuple(json.loads(texts["games"])),
            old_layout=bool(json.loads(texts["old_layout"])),
            action_interleaving=bool(json.loads(texts["action_interleaving"])),
            inference_steps=int(texts["inference_steps"]),
            cfg_scale=float(texts["cfg_scale"]),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise RepositoryError(f"model {config.name!r} was not published by this export: {error!r}") from error
