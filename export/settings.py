"""The options of an export: the settings of its model, and where the versions go. Free of torch.

A new setting is a field of `ModelSettings` and a flag here: manifests store it, `--reuse` compares it. It is
applied in `publish` or in `repository.triton_config`.
"""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

from export.flags import MAX_INSTANCES, finite, model_path, positive, triton_instances, whole
from export.machine import BF16_UNITS, Machine, this_machine

FormatName = Literal["torchscript", "onnx"]
Precision = Literal["fp32", "bf16", "fp16"]
DeviceKind = Literal["auto", "cpu", "gpu"]

DEFAULT_NAME = "nitrogen"


@dataclass(frozen=True)
class ModelSettings:
    """Which model to make from a checkpoint, and how Triton should run it.

    Attributes:
        formats: each is published as a separate model.
        steps: sampler steps, None for the checkpoint's own.
        context_length: frames seen at once, None for the checkpoint's own.
        cfg_scale: classifier-free guidance, 1 for none.
        max_batch_size: None for 16 on GPUs and 8 on CPUs.
        max_queue_size: requests that Triton queues before it refuses more, 0 for no bound.
        triton_instances: copies of the model that Triton runs on each device.
        weights: key of the checkpoint's table of weights, None for the usual one.
        adapter: folder of a LoRA adapter.
    """

    formats: tuple[FormatName, ...] = ("torchscript",)
    steps: int | None = None
    context_length: int | None = None
    cfg_scale: float = 1.0
    precision: Precision | Literal["auto"] = "auto"
    max_batch_size: int | None = None
    device_kind: DeviceKind = "auto"
    max_queue_size: int = 0
    triton_instances: int = 1
    weights: str | None = None
    adapter: Path | None = None


SETTINGS = tuple(setting.name for setting in fields(ModelSettings))


@dataclass(frozen=True)
class ExportOptions:
    """The model to publish, and where.

    Attributes:
        checkpoint: a file, a folder or a Hugging Face id, kept in `models_dir`.
        name: of the Triton model.
        plain_name: whether its one format is published without the format's suffix.
        version: None for the one after the newest.
        keep: versions that stay, 0 for all.
        force: whether `version` may be replaced.
    """

    checkpoint: str | Path
    repository: Path
    settings: ModelSettings = field(default_factory=ModelSettings)
    models_dir: Path = Path("models")
    name: str = DEFAULT_NAME
    plain_name: bool = False
    version: int | None = None
    keep: int = 2
    force: bool = False


def export_options(values: Mapping[str, Any], *, is_demo: bool) -> tuple[ExportOptions, str]:
    """Return the options of a parsed command line, whose values have the fields' names.

    Returns:
        The options, and why "auto" chose its format; "" when the command line names one.
    """
    formats, why = (values["format"],), ""
    if values["format"] == "both":
        formats = get_args(FormatName)
    elif values["format"] == "auto":
        name, why = fastest_format(
            values["precision"], values["device_kind"], this_machine(), is_demo=is_demo
        )
        formats = (name,)
    given = {**values, "formats": formats, "plain_name": values["format"] == "auto"}
    settings = ModelSettings(**{name: given[name] for name in SETTINGS})
    others = {option.name for option in fields(ExportOptions)} - {"settings"}
    return ExportOptions(settings=settings, **{name: given[name] for name in others}), why


def fastest_format(
    precision: Precision | Literal["auto"],
    device_kind: DeviceKind,
    machine: Machine,
    *,
    is_demo: bool,
) -> tuple[FormatName, str]:
    """Return the format that answers fastest in a precision, and why (docs/explanation/formats.md)."""
    if device_kind == "gpu":
        return "torchscript", "because it is for a GPU"
    if device_kind == "auto" and machine.gpu:
        return "torchscript", "because this machine has an NVIDIA GPU"
    if precision in {"bf16", "fp16"}:
        return "torchscript", f"because --precision is {precision}, and ONNX on CPUs is fp32"
    if precision == "fp32":
        return "onnx", "because it is the faster one in fp32 on CPUs"
    if is_demo:
        return "onnx", "because bf16 does not pay off on CPUs for a model as small as the demo"
    if machine.bf16_units:
        return "torchscript", f"because this CPU has bf16 units ({', '.join(machine.bf16_units)})"
    return "onnx", f"because this CPU has no bf16 units ({' or '.join(BF16_UNITS)})"


def add_model_flags(parser: argparse.ArgumentParser, *, for_serving: bool = False) -> list[argparse.Action]:
    """Add the flags that say which model to make.

    Args:
        parser: gets the flags.
        for_serving: whether the model is served at once: in one format, by default the fastest here, and
            without `--precision` in whichever is published.
    """
    own = "the checkpoint's own"
    return [
        parser.add_argument(
            "--format",
            choices=["auto", *get_args(FormatName), *([] if for_serving else ["both"])],
            default="auto" if for_serving else "torchscript",
            help="onnx is published as NAME-onnx; auto publishes the fastest on this machine as NAME: "
            "torchscript on NVIDIA GPUs and on CPUs with bf16 units, else onnx",
        ),
        parser.add_argument(
            "--precision",
            choices=["auto", *get_args(Precision)],
            default=None if for_serving else "auto",
            help="precision of weights and matrix products; auto: fp32 for onnx, else bf16 if the device has "
            "units for it and the self-check passes, else fp32"
            f"{'; None: whichever is published' if for_serving else ''}",
        ),
        parser.add_argument("--steps", type=positive, metavar="N", help=f"sampler steps; None: {own}"),
        parser.add_argument(
            "--context",
            type=positive,
            metavar="K",
            dest="context_length",
            help=f"frames that the model sees at once; None: {own}",
        ),
        parser.add_argument(
            "--cfg-scale", type=finite, default=1.0, metavar="S", help="classifier-free guidance; 1.0 is off"
        ),
        parser.add_argument(
            "--weights",
            metavar="KEY",
            help="key of the weights in the checkpoint, such as model_ema; None: model",
        ),
        parser.add_argument(
            "--lora",
            metavar="DIR",
            dest="adapter",
            type=model_path,
            help="a PEFT adapter (adapter_config.json, adapter_model.safetensors) to merge into the weights, "
            "here or in --models-dir",
        ),
    ]


def add_triton_flags(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """Add the flags that say how Triton runs the model."""
    return [
        parser.add_argument(
            "--max-batch-size", type=positive, metavar="N", help="largest batch; None: 16 on GPUs, else 8"
        ),
        parser.add_argument(
            "--max-queue-size",
            type=whole,
            default=0,
            metavar="N",
            help="requests that Triton queues before it refuses more; 0: only the gateway limits them, as a "
            "limit in Triton makes players wait longer",
        ),
        add_triton_instances(parser),
        parser.add_argument(
            "--device-kind",
            choices=get_args(DeviceKind),
            default="auto",
            help="auto leaves the choice to Triton",
        ),
    ]


def add_triton_instances(parser: argparse.ArgumentParser) -> argparse.Action:
    """Add `--triton-instances`."""
    return parser.add_argument(
        "--triton-instances",
        type=triton_instances,
        default=1,
        metavar="N",
        help=f"copies of the model that Triton runs on each GPU, or on the CPU, up to {MAX_INSTANCES}; each "
        "has its own memory and batches",
    )
