"""The formats in which a graph is published, and what each of them is. Free of torch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from export.settings import DEFAULT_NAME, ExportOptions, FormatName, Precision

if TYPE_CHECKING:
    from export.formats.self_check import Graph
    from export.network.model import NitroGen

CONFIG_NAME = "config.pbtxt"
_MODELS = Path(__file__).parents[2] / "model_repository"


@dataclass(frozen=True)
class Writer:
    """How a graph is saved, and loaded again to be checked on the CPU."""

    save: "Callable[[NitroGen, Path], None]"
    load: "Callable[[Path], Graph]"


@dataclass(frozen=True)
class Format:
    """One format: `<name><suffix>/<version>/<file_name>` in a repository.

    Attributes:
        suffix: appended to the model's name, because each format of an export is a separate model.
        writer: imports what it needs when it is called, because torch takes seconds.
        gpu_only: the precisions that this format has on GPUs alone, each with the reason and what to do.
    """

    name: FormatName
    suffix: str
    file_name: str
    writer: Callable[[], Writer]
    gpu_only: Mapping[Precision, str] = field(default_factory=dict)

    def model_name(self, options: ExportOptions) -> str:
        """Name of the Triton model as which an export publishes this format."""
        return options.name + ("" if options.plain_name else self.suffix)

    @property
    def original(self) -> Path:
        """The commented config in git, from which each version's is made."""
        return _MODELS / f"{DEFAULT_NAME}{self.suffix}" / CONFIG_NAME


def _torchscript() -> Writer:
    from export.formats.torchscript import load_torchscript, save_torchscript  # noqa: PLC0415 - see Format

    return Writer(save_torchscript, load_torchscript)


def _onnx() -> Writer:
    from export.formats.onnx_graph import load_onnx, save_onnx  # noqa: PLC0415 - see Format

    return Writer(save_onnx, load_onnx)


FORMATS: dict[FormatName, Format] = {
    "torchscript": Format("torchscript", "", "model.pt", _torchscript),
    "onnx": Format(
        "onnx",
        "-onnx",
        "model.onnx",
        _onnx,
        {
            "bf16": "ONNX Runtime runs bf16 on GPUs only: export it with --device-kind gpu for one, "
            "or use --precision fp32 or --format torchscript"
        },
    ),
}
