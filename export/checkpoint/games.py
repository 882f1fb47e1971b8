"""The game mapping, a game for each row of the game table (docs/reference/model.md, "Tokens and context")."""

from pathlib import Path

from export.checkpoint.config import GameMappingConfig
from export.errors import CheckpointError

LABEL_COLUMN = "game_label"


def read_games(mapping: GameMappingConfig | None, folder: Path) -> tuple[str | None, ...]:
    """Return the names of the games in the order of their ids.

    Args:
        mapping: the checkpoint's `game_mapping_cfg`; its files are relative to `folder`.
        folder: the checkpoint's folder.

    Returns:
        None (id 0, unconditional), then the sorted unique labels; empty without a mapping.

    Raises:
        CheckpointError: when a file is missing, no parquet, or has no column of labels.
    """
    if mapping is None:
        return ()
    # A checkpoint without games does without.
    import pyarrow  # noqa: PLC0415
    import pyarrow.parquet  # noqa: PLC0415

    labels: set[str] = set()
    for source in mapping.src_files:
        path = folder / source
        if not path.is_file():
            raise CheckpointError(f"the checkpoint's game mapping needs {path}: put it there")
        try:
            column = pyarrow.parquet.read_table(path, columns=[LABEL_COLUMN]).column(LABEL_COLUMN)
        except (pyarrow.ArrowException, OSError, KeyError) as error:
            raise CheckpointError(f"{path} has no readable column {LABEL_COLUMN!r}: {error}") from error
        for label in column.unique().to_pylist():
            if not isinstance(label, str | None):
                raise CheckpointError(f"{path}: the game label {label!r} is not text")
            if label is not None:
                labels.add(label)
    return (None, *sorted(labels))
