"""Reading `ng.pt`: data from a stranger, so nothing in it is ever executed."""

import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from export.checkpoint.config import CheckpointConfig, parse_config
from export.checkpoint.digest import file_sha256
from export.checkpoint.games import read_games
from export.checkpoint.tensors import check_tensors
from export.checkpoint.vision_config import VisionConfig, find_vision_config
from export.errors import CheckpointError

# What torch.load(weights_only=True) raises for pickles that it does not understand.
_UNREADABLE = (
    RuntimeError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    zipfile.BadZipFile,
)


@dataclass(frozen=True)
class Checkpoint:
    """A checked checkpoint.

    `tensors`: the state_dict, memory-mapped; `games`: index = game id, entry 0 None, empty without a mapping.
    """

    path: Path
    sha256: str
    tensors: Mapping[str, Tensor]
    config: CheckpointConfig
    vision: VisionConfig
    games: tuple[str | None, ...]


def read_checkpoint(path: Path, models_dir: Path, sha256: str | None = None) -> Checkpoint:
    """Read and check a checkpoint with everything that it names.

    Args:
        path: the checkpoint's file.
        models_dir: where the vision tower's `config.json` is kept when it has to come from the hub.
        sha256: the file's SHA-256; None to compute it here.

    Raises:
        CheckpointError: when it is missing, no torch file, needs code to load, or does not hold what its
            configuration says.
    """
    if not path.is_file():
        raise CheckpointError(f"no checkpoint at {path}: give the path of an ng.pt file")
    _check_bytes(path)
    content = _load(path)
    if not (
        isinstance(content, dict)
        and isinstance(content.get("model"), dict)
        and isinstance(content.get("ckpt_config"), dict)
    ):
        raise CheckpointError(
            f"{path} is a torch file, but not a NitroGen checkpoint: no model and ckpt_config in it"
        )
    tensors = content["model"]
    strangers = [name for name, value in tensors.items() if not isinstance(value, Tensor)]
    if strangers:
        raise CheckpointError(f"{path}: {strangers[0]} is not a tensor")
    config = parse_config(content["ckpt_config"])
    vision = find_vision_config(config.model_cfg.vision_encoder_name, path.parent, models_dir)
    games = read_games(config.tokenizer_cfg.game_mapping_cfg, path.parent)
    check_tensors(tensors, config, vision, len(games))
    return Checkpoint(path, sha256 or file_sha256(path), tensors, config, vision, games)


def _check_bytes(path: Path) -> None:
    """Compare the archive's records with the checksums that it keeps of them, which torch.load does not.

    Raises:
        CheckpointError: when it is no archive, or a record is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if any(record.compress_type != zipfile.ZIP_STORED for record in archive.infolist()):
                raise CheckpointError(f"{path} is no torch checkpoint: its records are compressed")
            damaged = archive.testzip()
    except (zipfile.BadZipFile, EOFError, OSError, RuntimeError, ValueError) as error:
        raise CheckpointError(
            f"{path} is not a torch checkpoint, or is cut off or damaged ({error}): fetch it again"
        ) from error
    if damaged is not None:
        raise CheckpointError(
            f"{path} is damaged: the bytes of {damaged} are not those that were saved: fetch it again"
        )


def _load(path: Path) -> object:
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} can only be loaded by executing code from it, which export never does: "
            "ask its author for a file that torch.load(weights_only=True) accepts"
        ) from error
    except _UNREADABLE as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{path} is not a readable torch checkpoint: {reason}") from error
