"""`adapter_config.json` of a PEFT LoRA adapter: its settings, and the modules that it targets.

Module names match as in the peft library; an unknown setting that would change the merged weights is refused
by name.
"""

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator
from torch import Tensor

from export.checkpoint.digest import ADAPTER_CONFIG_NAME as CONFIG_NAME
from export.errors import AdapterError

# These steer training or loading, not what is merged. fan_in_fan_out is about GPT-2's Conv1D: peft itself
# ignores it on every kind of module that a checkpoint has.
_IRRELEVANT = frozenset(
    "auto_mapping base_model_name_or_path corda_config ensure_weight_tying eva_config fan_in_fan_out "  # noqa: SIM905 - shorter
    "inference_mode loftq_config lora_dropout lora_ga_config megatron_core peft_version qalora_group_size "
    "revision task_type".split()
)
_KEEPS_BASE = ("true", "false", "gaussian", "eva", "orthogonal", "mica")  # init_lora_weights, in lower case

_Rank = Annotated[int, Field(gt=0, lt=1 << 31)]
_Number = TypeVar("_Number", int, float)


class LoraConfig(BaseModel):
    """The entries of `adapter_config.json` that decide the merged weights, with peft's defaults."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)

    peft_type: Literal["LORA"]
    target_modules: str | tuple[str, ...]
    exclude_modules: str | tuple[str, ...] | None = None
    modules_to_save: tuple[str, ...] | None = None
    layers_to_transform: int | tuple[int, ...] | None = None
    layers_pattern: str | tuple[str, ...] | None = None
    r: _Rank = 8
    lora_alpha: FiniteFloat = 8.0
    rank_pattern: dict[str, _Rank] | None = None
    alpha_pattern: dict[str, FiniteFloat] | None = None
    use_rslora: bool = False
    use_dora: bool = False
    lora_bias: bool = False
    bias: Literal["none", "all", "lora_only"] = "none"
    init_lora_weights: bool | str = True

    @model_validator(mode="after")
    def _mergeable(self) -> Self:
        by_layer = self.layers_to_transform is not None
        if isinstance(self.target_modules, str) and (by_layer or self.layers_pattern is not None):
            raise ValueError("layers_to_transform and layers_pattern need target_modules to be a list")
        if self.layers_pattern and not by_layer:
            raise ValueError("layers_pattern needs layers_to_transform")
        if self.use_dora and self.lora_bias:
            raise ValueError("use_dora and lora_bias exclude each other")
        if str(self.init_lora_weights).lower() not in _KEEPS_BASE:
            raise ValueError(
                f"init_lora_weights is {self.init_lora_weights!r}, which changed the base weights that the "
                "adapter was trained on: let peft convert it to a plain LoRA adapter (save_pretrained with "
                "path_initial_model_for_weight_conversion)"
            )
        for key, value in (self.model_extra or {}).items():
            if value and key not in _IRRELEVANT:
                raise ValueError(f"{key} is {value!r:.60}, which cannot be merged: train without it")
        return self


def read_lora_config(path: Path) -> LoraConfig:
    """Read and check an `adapter_config.json`.

    Raises:
        AdapterError: when it is missing, not JSON, or asks for something that cannot be merged.
    """
    try:
        return LoraConfig.model_validate_json(path.read_bytes())
    except OSError as error:
        raise AdapterError(f"no {path} ({error.strerror}): give the folder of a PEFT adapter") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = "".join(f"{part}: " for part in first["loc"][:1])
        value = f", not {first['input']!r:.60}" if where and first["type"] != "missing" else ""
        message = first["msg"].removeprefix("Value error, ")
        raise AdapterError(f"{path} cannot be used: {where}{message}{value}") from error


def is_in(module: str, names: Collection[str]) -> bool:
    """Return whether a list has a module's name, or the last parts of it."""
    return module in names or any(module.endswith(f".{name}") for name in names)


def _pattern(expression: str) -> re.Pattern[str]:
    try:
        return re.compile(expression)
    except (re.error, OverflowError, RecursionError) as error:
        raise AdapterError(
            f"{CONFIG_NAME}: {expression!r:.80} is not a regular expression: {error}"
        ) from error


def is_targeted(config: LoraConfig, module: str, tensors: Mapping[str, Tensor]) -> bool:
    """Return whether the configuration selects a module of the state_dict `tensors` for a LoRA update."""
    excluded, targets = config.exclude_modules or (), config.target_modules
    if _pattern(excluded).fullmatch(module) if isinstance(excluded, str) else is_in(module, excluded):
        return False
    if any(_pattern(rf"(^|.*\.){name}($|\..*)").match(module) for name in config.modules_to_save or ()):
        return False
    if not isinstance(targets, str):
        return module in targets or (is_in(module, targets) and _is_in_layers(config, module))
    if targets.lower() != "all-linear":
        return _pattern(targets).fullmatch(module) is not None
    return f"{module}.bias" in tensors and tensors.get(f"{module}.weight", torch.empty(0)).dim() == 2


def _is_in_layers(config: LoraConfig, module: str) -> bool:
    """Return whether the first number in a module's name, its layer, is among `layers_to_transform`."""
    layers, names = config.layers_to_transform, config.layers_pattern
    if layers is None or layers == ():
        return True
    names = (names,) if isinstance(names, str) and names else names or ()
    patterns = [rf"(?:^|.*?\.){name}\.(?P<layer>\d+)\." for name in names]
    for pattern in patterns or [r".*?\.[^.]*\.(?P<layer>\d+)\."]:
        if match := _pattern(pattern).match(module):
            return int(match["layer"]) in ((layers,) if isinstance(layers, int) else layers)
    return False


def by_pattern(patterns: Mapping[str, _Number] | None, module: str, default: _Number) -> _Number:
    """Return the value of the first pattern that matches a module's name, or the last parts of it."""
    for expression, value in (patterns or {}).items():
        if _pattern(rf"(.*\.)?({expression})$").match(module):
            return value
    return default
