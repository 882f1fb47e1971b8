"""SHA-256 of a file: how a checkpoint is recognised. Free of torch."""

import hashlib
from pathlib import Path

from tqdm import tqdm

_CHUNK_BYTES = 1 << 22


def file_sha256(path: Path) -> str:
    """SHA-256 as hexadecimal digits, with a progress bar for files that take more than a second."""
    digest = hashlib.sha256()
    with (
        path.open("rb") as file,
        tqdm(
            total=path.stat().st_size, unit="B", unit_scale=True, desc="hashing", delay=1.0, leave=False
        ) as progress,
    ):
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            progress.update(len(chunk))
    return digest.hexdigest()
