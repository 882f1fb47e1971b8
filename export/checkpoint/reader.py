"""Reading `ng.pt`: data from a stranger, so nothing in it is ever executed."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from export.checkpoint.archive import load_archive
from export.checkpoint.config import CheckpointConfig, find_config, parse_config
from export.checkpoint.digest import file_sha256
from export.checkpoint.games import read_games
from export.checkpoint.other_frames import other_frames
from export.checkpoint.tensors import UNUSED_PREFIX, check_tensors, checkpoint_tensors
from export.checkpoint.vision_config import VisionConfig, find_vision_config
from export.checkpoint.weight_tables import (
    WeightTable,
    checked_table,
    choose_table,
    dicts_in,
    find_tables,
    is_bare_state_dict,
    refuse_wrapped,
    unnamed_averages,
)
from export.errors import CheckpointError

logger = logging.getLogger(__name__)

_MAX_SHARED = 4  # times the file's size, of weights that share their bytes


@dataclass(frozen=True)
class Checkpoint:
    """A checked checkpoint.

    Attributes:
        tensors: the state_dict, memory-mapped, by the released model's names.
        games: index = game id, entry 0 None, empty without a mapping.
    """

    path: Path
    sha256: str
    tensors: Mapping[str, Tensor]
    config: CheckpointConfig
    vision: VisionConfig
    games: tuple[str | None, ...]


def read_checkpoint(
    path: Path, models_dir: Path, sha256: str | None = None, weights: str | None = None
) -> Checkpoint:
    """Read and check a checkpoint with everything that it names, and log anything unusual.

    Args:
        path: the checkpoint's file.
        models_dir: where the vision tower's `config.json` is kept when it has to come from the hub.
        sha256: the file's SHA-256; None to compute it here.
        weights: key of the table of weights to read; None for the usual one.

    Raises:
        CheckpointError: when it is missing, no torch file, needs code to load, or does not hold what its
            configuration says.
    """
    if not path.is_file():
        raise CheckpointError(f"no checkpoint at {path}: give the path of an ng.pt file")
    content = load_archive(path)
    if not isinstance(content, dict):
        raise CheckpointError(
            f"{path} is a torch file, but not a NitroGen checkpoint: it holds a {type(content).__name__} "
            "instead of a dict with model and ckpt_config"
        )
    if is_bare_state_dict(content):
        refuse_wrapped([content], path)
        raise CheckpointError(
            f"{path} is a bare state_dict of {len(content)} tensors, without the ckpt_config that says "
            "which model they are: save it again with the one of the checkpoint that it was trained from, "
            f"torch.save({{'model': torch.load('{path.name}', weights_only=True), 'ckpt_config': "
            "torch.load('nitrogen/ng.pt', weights_only=True)['ckpt_config']}, 'ng.pt')"
        )
    config = parse_config(find_config(content, path))
    vision = find_vision_config(config.model_cfg.vision_encoder_name, path.parent, models_dir)
    games = read_games(config.tokenizer_cfg.game_mapping_cfg, path.parent)
    expected = checkpoint_tensors(config, vision, len(games))
    tables = find_tables(content, expected)
    refuse_wrapped([table.table for table in tables] or [held for _, held in dicts_in(content)], path)
    table = choose_table(tables, content, weights, path)
    others = [other for other in tables if other is not table]
    tensors = checked_table(table, others, path)
    check_tensors(tensors, expected)
    _check_size(tensors, path)
    _log_differences(table, tensors)
    if weights is None:
        _warn_of_other_weights(table, others, content)
    for sentence in other_frames(content, config):
        logger.warning(sentence)
    return Checkpoint(path, sha256 or file_sha256(path), tensors, config, vision, games)


def _check_size(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Refuse weights that are views of few bytes: their copies could take all the memory."""
    size, held = sum(tensor.nbytes for tensor in tensors.values()), path.stat().st_size
    if size > _MAX_SHARED * held:
        raise CheckpointError(
            f"{path} has {held:,} bytes, but its weights would take {size:,}: save them as contiguous tensors"
        )


def _log_differences(table: WeightTable, tensors: Mapping[str, Tensor]) -> None:
    if table.changes:
        logger.info(
            "the names of the weights under %s have a prefix or a wrapper's name in them, which is left "
            "out: %s",
            table.place,
            table.changes,
        )
    if not any(name.startswith(UNUSED_PREFIX) for name in tensors):
        logger.info("the checkpoint lacks the vision tower's pooling head, which the model does not use")


def _warn_of_other_weights(table: WeightTable, others: list[WeightTable], content: Mapping[str, Any]) -> None:
    for other in others:
        logger.warning(
            "the checkpoint also holds %s under %s: exporting the weights under %s; --weights %s exports the "
            "others",
            "averaged (EMA) weights" if other.is_averaged else "weights",
            other.place,
            table.place,
            other.place,
        )
    for key in unnamed_averages(content, len(table.names) // 2):
        logger.warning(
            "the checkpoint also holds averaged weights under %s, a list without names, which cannot be "
            "exported: exporting the weights under %s",
            key,
            table.place,
        )
