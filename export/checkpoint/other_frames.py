"""Tables of a checkpoint, beside its configuration, that say how many frames the model sees.

Forks with several frames keep their figures in tables of their own. The configuration counts; a table that
contradicts it gets a warning.
"""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from export.checkpoint.config import TOKENS_PER_FRAME, CheckpointConfig
from export.checkpoint.weight_tables import ROOT_KEY, dicts_in
from export.errors import shown

_COUNT = re.compile(
    r"((n|num|number_of|max)_)?(obs_|past_|input_|context_|history_|prev_|stacked_)*frames?"
    r"(_per_sample|_stack|_history|_count|_window)?|(frame|obs|image)_(stack|history)(_size|_len|_length)?"
    r"|(frame_|obs_|temporal_)?(context|history|window)_(len|length|size|frames)|n(um)?_obs_steps",
    re.IGNORECASE,
)
_SHOWN = 200  # characters of a table


def other_frames(content: Mapping[Any, Any], config: CheckpointConfig) -> list[str]:
    """Return a sentence for each table whose number of frames differs from the configuration's."""
    own = config.modality_cfg.frame_per_sample
    sentences = []
    for key, table in dicts_in(content):
        if any(isinstance(value, Tensor) for value in table.values()):
            continue
        counts = {
            name: count
            for name, value in table.items()
            if isinstance(name, str) and (count := _frames(name, value)) not in (None, own)
        }
        if not counts:
            continue
        most = max(counts.values())
        said = ", ".join(f"{name} = {table[name]!r:.{_SHOWN}}" for name in counts)
        if most > config.context_capacity:
            advice = (
                f"{most} frames need a max_sequence_length of {most * TOKENS_PER_FRAME} tokens or more, and "
                f"it is {config.tokenizer_cfg.max_sequence_length}: if the model was trained with them, its "
                "author has to save a ckpt_config that says so"
            )
        else:
            advice = f"if it was trained with {most}, give --context {most}"
        place = "file" if key == ROOT_KEY else shown(key)
        sentences.append(
            f"the checkpoint's {place} says {said}, but its modality_cfg.frame_per_sample is {own}: "
            f"without --context the model sees {own} at once; {advice}"
        )
    return sentences


def _frames(name: str, value: object) -> int | None:
    """Return the number of frames in one entry, None if it is about something else."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value if value > 0 and _COUNT.fullmatch(name) else None
    if isinstance(value, (list, tuple)) and "frame" in name.lower():
        return len(value) if len(value) > 1 and all(isinstance(each, int) for each in value) else None
    return None
