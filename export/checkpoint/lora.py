"""A PEFT LoRA adapter, merged into a checkpoint's state_dict as the peft library would merge it.

The adapter is data from a stranger: only safetensors are read, and an unknown setting that would change the
result is refused by name. Its configuration and the checkpoint together say which tensors the file must hold,
and their shapes; missing, unexpected and wrongly shaped tensors are refused.
"""

import math
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from export.checkpoint.digest import ADAPTER_CONFIG_NAME as CONFIG_NAME
from export.checkpoint.digest import ADAPTER_WEIGHTS_NAME as WEIGHTS_NAME
from export.checkpoint.digest import adapter_sha256
from export.checkpoint.lora_config import LoraConfig, by_pattern, is_in, is_targeted, read_lora_config
from export.checkpoint.tensors import Shapes
from export.errors import AdapterError, first_few

_PREFIX = "base_model.model."  # peft's wrapper around the model that it adapts
_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


@dataclass(frozen=True)
class Adapter:
    """A merged adapter: `sha256` identifies its two files together, `changed` names the changed tensors."""

    folder: Path
    sha256: str
    changed: tuple[str, ...]


@dataclass(frozen=True)
class _Target:
    """A module with a LoRA update: `scaling` times B (outputs, rank) times A (rank, inputs).

    Attributes:
        shape: the weight's; (outputs, inputs), (outputs, inputs, height, width) of a convolution, and
            (inputs, outputs) of an embedding, whose inputs are its rows.
    """

    module: str
    shape: tuple[int, ...]
    is_embedding: bool
    rank: int
    scaling: float

    def name(self, part: str) -> str:
        """Name of A or B in the adapter's file, without the prefix."""
        name = f"lora_embedding_{part}" if self.is_embedding else f"lora_{part}.weight"
        return f"{self.module}.{name}"


def merge_adapter(tensors: Mapping[str, Tensor], folder: Path) -> tuple[dict[str, Tensor], Adapter]:
    """Merge the adapter in a folder into a checkpoint's state_dict.

    The result has the names and shapes of `tensors`, in their order. It shares every tensor that the adapter
    leaves alone; those that it changes are float32, whatever the checkpoint's type.

    Raises:
        AdapterError: when a file is missing or broken, the configuration asks for what cannot be merged, or
            a module or a tensor does not fit the checkpoint.
    """
    config_path, weights_path = folder / CONFIG_NAME, folder / WEIGHTS_NAME
    config = read_lora_config(config_path)
    modules = _modules(tensors)
    _check_names(config, modules)
    targets = [_target(config, each, tensors) for each in modules if is_targeted(config, each, tensors)]
    if not targets:
        raise AdapterError(f"{config_path} targets no module of the checkpoint: is it for another model?")
    replaced = _replaced_tensors(config, targets, modules, tensors)
    expected = {name: tuple(tensors[name].shape) for name in replaced}
    for target in targets:
        expected |= _expected_tensors(config, target, tensors)
    weights = _read_weights(weights_path)
    _check_weights(weights, expected, modules, weights_path)
    merged = {**tensors, **{name: weights[name].float() for name in replaced}}
    for target in targets:
        merged |= _merged(target, merged, weights)
    changed = tuple(name for name in tensors if merged[name] is not tensors[name])
    for name in changed:
        if not merged[name].isfinite().all():
            raise AdapterError(f"{folder}: {name} is not finite once merged: is lora_alpha right?")
    return merged, Adapter(folder, adapter_sha256(folder), changed)


def _modules(tensors: Iterable[str]) -> tuple[str, ...]:
    """Return the names of the modules that the tensors imply, those that only hold other modules included."""
    modules: dict[str, None] = {}
    for name in tensors:
        parts = name.split(".")
        modules |= dict.fromkeys(".".join(parts[:length]) for length in range(1, len(parts)))
    return tuple(modules)


def _check_names(config: LoraConfig, modules: Collection[str]) -> None:
    targets = () if isinstance(config.target_modules, str) else config.target_modules
    unknown = [name for name in targets if not any(is_in(module, [name]) for module in modules)]
    saved = config.modules_to_save or ()  # peft takes any end of a name here, not only whole parts
    unknown += [name for name in saved if not any(module.endswith(name) for module in modules)]
    if unknown:
        raise AdapterError(
            f"{CONFIG_NAME} names {unknown[0]!r} in target_modules or modules_to_save, which is not a module "
            "of the checkpoint: was the adapter trained on another model?"
        )


def _target(config: LoraConfig, module: str, tensors: Mapping[str, Tensor]) -> _Target:
    weight = tensors.get(f"{module}.weight")
    if weight is None or weight.dim() not in {2, 4}:
        own = [name.removeprefix(f"{module}.") for name in tensors if name.rpartition(".")[0] == module]
        raise AdapterError(
            f"{CONFIG_NAME}: target_modules selects {module}, which is not a linear, convolution or "
            f"embedding module (it holds {', '.join(own) or 'only modules'}): train it whole, by "
            "modules_to_save"
        )
    is_embedding = weight.dim() == 2 and f"{module}.bias" not in tensors  # every linear has a bias
    rank = by_pattern(config.rank_pattern, module, config.r)
    alpha = by_pattern(config.alpha_pattern, module, config.lora_alpha)
    scaling = alpha / (math.sqrt(rank) if config.use_rslora else rank)
    return _Target(module, tuple(weight.shape), is_embedding, rank, scaling)


def _replaced_tensors(
    config: LoraConfig, targets: Iterable[_Target], modules: Iterable[str], tensors: Iterable[str]
) -> list[str]:
    """Return the tensors that the adapter holds whole: of `modules_to_save`, and with `bias` the biases."""
    whole = tuple(f"{module}." for module in modules if module.endswith(config.modules_to_save or ()))
    biases = {name for name in tensors if name.endswith(".bias")} if config.bias != "none" else set()
    if config.bias == "lora_only":
        biases &= {f"{target.module}.bias" for target in targets}
    return [name for name in tensors if name.startswith(whole) or name in biases]


def _expected_tensors(config: LoraConfig, target: _Target, tensors: Collection[str]) -> Shapes:
    shape, ones = target.shape, (1,) * (len(target.shape) - 2)  # B of a convolution is a 1 x 1 one
    outputs, inputs = (shape[1], shape[:1]) if target.is_embedding else (shape[0], shape[1:])
    expected = {target.name("A"): (target.rank, *inputs), target.name("B"): (outputs, target.rank, *ones)}
    if config.lora_bias and f"{target.module}.bias" in tensors:
        expected[f"{target.module}.lora_B.bias"] = (outputs,)
    if config.use_dora:
        expected[f"{target.module}.lora_magnitude_vector"] = (1, outputs, *ones) if ones else (outputs,)
    return expected


def _read_weights(path: Path) -> dict[str, Tensor]:
    """Return the adapter's tensors, by the names of peft's own files without the prefix."""
    weights: dict[str, Tensor] = {}
    try:
        with safe_open(path, framework="pt") as file:
            for key in file.keys():  # noqa: SIM118 - the file is not a mapping
                name = key.removeprefix(_PREFIX).replace(".base_layer.bias", ".bias")
                name = re.sub(r"(\.lora_[A-Za-z_]+)\.default(?=\.\w+$|$)", r"\1", name)
                name = re.sub(r"(\.lora_magnitude_vector)\.weight$", r"\1", name)
                if name in weights:
                    raise AdapterError(f"{path} holds {name} twice, once as {key}: remove one")
                weights[name] = file.get_tensor(key)
    except FileNotFoundError as error:
        pickled = path.with_suffix(".bin").is_file()
        advice = "convert adapter_model.bin, as only safetensors are read" if pickled else "copy it there"
        raise AdapterError(f"no adapter weights at {path}: {advice}") from error
    except (SafetensorError, OSError) as error:
        raise AdapterError(f"{path} is not a whole safetensors file ({error}): fetch it again") from error
    return weights


def _check_weights(
    weights: Mapping[str, Tensor], expected: Shapes, modules: Collection[str], path: Path
) -> None:
    problems = [f"{name} is missing" for name in expected if name not in weights]
    for name, tensor in weights.items():
        module, separator, _ = name.rpartition(".lora_")
        if name not in expected:
            reason = "is not expected"
            if separator and module not in modules:
                reason = f"is for {module}, which is not a module of the checkpoint"
            elif separator and not any(other.startswith(f"{module}.lora_") for other in expected):
                reason = f"is for {module}, which the configuration does not target"
            problems.append(f"{name} {reason}")
        elif tuple(tensor.shape) != expected[name]:
            problems.append(f"{name} has shape {tuple(tensor.shape)} instead of {expected[name]}")
        elif tensor.dtype not in _FLOATS:
            problems.append(f"{name} has type {tensor.dtype} instead of a float of 16 bits or more")
        elif not tensor.float().isfinite().all():
            problems.append(f"{name} has values that are not finite")
    if problems:
        raise AdapterError(
            f"{path} does not fit {CONFIG_NAME} and the checkpoint: {first_few(problems, '; ', ', and')}. "
            "Is the adapter complete, with its configuration's ranks, and was it trained on this model?"
        )


def _merged(
    target: _Target, tensors: Mapping[str, Tensor], weights: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Return the module's updated weight, and bias with `lora_bias`; float32, in the same shapes."""
    name, bias_name = f"{target.module}.weight", f"{target.module}.bias"
    weight = tensors[name].float()
    matrix = weight.t() if target.is_embedding else weight.flatten(1)  # (outputs, inputs)
    a, b = (weights[target.name(part)].float().flatten(1) for part in "AB")
    matrix = matrix + target.scaling * (b @ a)
    magnitude = weights.get(f"{target.module}.lora_magnitude_vector")
    if magnitude is not None:
        matrix = matrix * (magnitude.float().flatten() / matrix.norm(dim=1)).unsqueeze(1)
    merged = {name: (matrix.t() if target.is_embedding else matrix).reshape(target.shape).contiguous()}
    bias_update = weights.get(f"{target.module}.lora_B.bias")
    if bias_update is not None:
        merged[bias_name] = tensors[bias_name].float() + target.scaling * bias_update.float()
    return merged
