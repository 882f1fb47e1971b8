"""A folder or path that should hold a checkpoint: which file it is, or why there is none. Free of torch."""

from pathlib import Path

from export.checkpoint.digest import ADAPTER_CONFIG_NAME
from export.errors import CheckpointError, first_few

CHECKPOINT_NAME = "ng.pt"
_OTHER_SUFFIXES = (".pth", ".ckpt", ".bin", ".safetensors", ".tar", ".gz", ".zip")


def checkpoint_in(folder: Path) -> Path:
    """Return the `ng.pt` of a folder, or its only other `*.pt`.

    Raises:
        CheckpointError: when the folder does not say which file, or holds something else.
    """
    named = folder / CHECKPOINT_NAME
    refuse_dead_link(named)
    if named.is_file():
        return named
    names = sorted(path.name for path in folder.glob("*.pt") if path.is_file())
    if len(names) == 1:
        return folder / names[0]
    if names:
        raise CheckpointError(
            f"{folder} holds {first_few(names)} and no {CHECKPOINT_NAME}: give the path of the checkpoint's "
            "file"
        )
    for link in sorted(folder.glob("*.pt")):
        refuse_dead_link(link)
    present = sorted(path.name for path in folder.iterdir())
    if ADAPTER_CONFIG_NAME in present:
        raise CheckpointError(
            f"{folder} is the folder of a LoRA adapter: give it with --lora, beside the checkpoint that it "
            "was trained on"
        )
    if ".metadata" in present and any(name.endswith(".distcp") for name in present):
        raise CheckpointError(
            f"{folder} is a checkpoint in pieces, as torch.distributed.checkpoint saves it: join them, "
            f"python -m torch.distributed.checkpoint.format_utils dcp_to_torch {folder} {CHECKPOINT_NAME}"
        )
    others = [name for name in present if name.endswith(_OTHER_SUFFIXES)]
    raise CheckpointError(
        f"{folder} holds no *.pt and no {CHECKPOINT_NAME}"
        + (f" but {first_few(others)}" if others else "")
        + ": give the path of the checkpoint's file"
    )


def refuse_dead_link(path: Path) -> None:
    """Refuse a path that is a broken link, or leads through one.

    Raises:
        CheckpointError: naming the link and its target.
    """
    for each in (path, *path.parents):
        if each.is_symlink() and not each.exists():
            raise CheckpointError(
                f"{each} is a broken link to {each.readlink()}: put the file there, or remove the link"
            )


def missing_beside(path: Path) -> str | None:
    """Return an error for a path that is missing from an existing folder, else None."""
    folder = path.parent
    if path.exists() or folder == Path() or not folder.is_dir():
        return None
    return f"there is no {path.name} in the folder {folder}"
