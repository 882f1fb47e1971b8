"""Figures of the SigLIP vision tower, which the checkpoint itself does not hold.

They come from a `config.json` beside the checkpoint or among the models, from the table of known towers, or
from the hub.
"""

import json
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from export.errors import CheckpointError

_MAX_BYTES = 1 << 20  # of a config.json from the hub
_MAX_SIZE = 1 << 16  # of each figure
PATCH_SIZE = 16
IMAGE_SIZE = 256


@dataclass(frozen=True)
class VisionConfig:
    """A SigLIP vision transformer over 256x256 images in 16x16 patches."""

    num_layers: int
    width: int
    num_heads: int
    mlp_width: int
    layer_norm_eps: float = 1e-6


_BASE = VisionConfig(num_layers=12, width=768, num_heads=12, mlp_width=3072)
_LARGE = VisionConfig(num_layers=24, width=1024, num_heads=16, mlp_width=4096)
_SO400M = VisionConfig(num_layers=27, width=1152, num_heads=16, mlp_width=4304)

KNOWN_TOWERS = {
    "google/siglip-base-patch16-256": _BASE,
    "google/siglip-base-patch16-256-i18n": _BASE,
    "google/siglip-base-patch16-256-multilingual": _BASE,
    "google/siglip-large-patch16-256": _LARGE,
    "google/siglip-so400m-patch16-256-i18n": _SO400M,
    "google/siglip2-base-patch16-256": _BASE,
    "google/siglip2-large-patch16-256": _LARGE,
    "google/siglip2-so400m-patch16-256": _SO400M,
}

_NEEDED = {
    "hidden_act": "gelu_pytorch_tanh",
    "image_size": IMAGE_SIZE,
    "patch_size": PATCH_SIZE,
    "num_channels": 3,
}
# The defaults of transformers' SiglipVisionConfig for keys that a config.json leaves out.
_DEFAULTS: dict[str, Any] = {
    **_NEEDED,
    "num_hidden_layers": 12,
    "hidden_size": 768,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "layer_norm_eps": 1e-6,
    "image_size": 224,
}


def find_vision_config(name: str, checkpoint_folder: Path, models_dir: Path) -> VisionConfig:
    """Return the figures of the tower that a checkpoint names.

    Looked for in `checkpoint_folder/name/config.json`, in `models_dir/name/config.json`, in `KNOWN_TOWERS`,
    then on the Hugging Face hub, from where it comes into `models_dir`.

    Raises:
        CheckpointError: when no place knows the tower, or its `config.json` is unusable.
        DownloadError: when the hub cannot give it.
    """
    # The network itself needs PyTorch and numpy alone.
    from export.checkpoint.hub import DEFAULT_REVISION, is_repository_id  # noqa: PLC0415
    from export.checkpoint.kept_file import kept_file  # noqa: PLC0415

    if not is_repository_id(name):  # which keeps it inside the two folders, too
        raise CheckpointError(f"the checkpoint's vision tower {name[:100]!r} is not a Hugging Face id")
    beside = checkpoint_folder / name / "config.json"
    if beside.is_file():
        return read_vision_config(beside)
    kept = models_dir / name / "config.json"
    if name in KNOWN_TOWERS and not kept.is_file():
        return KNOWN_TOWERS[name]
    return read_vision_config(kept_file(kept, name, DEFAULT_REVISION, _is_json, max_bytes=_MAX_BYTES).path)


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return False
    return True


def read_vision_config(path: Path) -> VisionConfig:
    """Read a Hugging Face `config.json` of a SigLIP model (its `vision_config`) or of its vision tower.

    Raises:
        CheckpointError: when it is not a JSON object, or describes a tower other than this model's kind.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        figures = {**_DEFAULTS, **document.get("vision_config", document)}
    except (OSError, ValueError, AttributeError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{path} is not a readable Hugging Face config.json: {error}") from error
    for key, expected in _NEEDED.items():
        if figures[key] != expected:
            raise CheckpointError(f"{path}: {key} is {figures[key]!r}; this model needs {expected!r}")
    config = VisionConfig(
        num_layers=figures["num_hidden_layers"],
        width=figures["hidden_size"],
        num_heads=figures["num_attention_heads"],
        mlp_width=figures["intermediate_size"],
        layer_norm_eps=figures["layer_norm_eps"],
    )
    *sizes, eps = astuple(config)
    if (
        not all(isinstance(size, int) and 0 < size <= _MAX_SIZE for size in sizes)
        or config.width % config.num_heads
        or not (isinstance(eps, float) and 0 < eps < 1)
    ):
        raise CheckpointError(f"{path}: impossible sizes: {config}")
    return config
