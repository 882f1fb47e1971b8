"""The Hugging Face cache (`HF_HUB_CACHE`, `HF_HOME`) that other programs of this machine share."""

import logging
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import constants, try_to_load_from_cache
from huggingface_hub.file_download import repo_folder_name

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CachedFile:
    """A file in the cache. `commit`: of the snapshot; `etag`: as the hub said it when it was downloaded."""

    path: Path
    commit: str
    etag: str


def cached_file(repository: str, revision: str, name: str) -> CachedFile | None:
    """A file that another program has downloaded, None when it is not there; a dead link to it is told."""
    found = try_to_load_from_cache(repository, name, revision=revision)
    if isinstance(found, str):
        path = Path(found)
        return CachedFile(path, path.parent.name, path.resolve().name)
    folder = repo_folder_name(repo_id=repository, repo_type="model")
    # Not by glob(), which passes dead links over.
    for snapshot in Path(constants.HF_HUB_CACHE, folder, "snapshots").glob("*"):
        link = snapshot / name
        if link.is_symlink() and not link.exists():
            logger.warning("%s is a link that leads nowhere, to %s: it is not used", link, link.readlink())
    return None
