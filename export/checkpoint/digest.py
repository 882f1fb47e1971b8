"""SHA-256 of files: how checkpoints and adapters are recognised. Free of torch."""

import hashlib
from pathlib import Path

from export.errors import AdapterError
from export.progress import progress_class

ADAPTER_CONFIG_NAME = "adapter_config.json"
ADAPTER_WEIGHTS_NAME = "adapter_model.safetensors"
_CHUNK_BYTES = 1 << 22


def file_sha256(path: Path) -> str:
    """Return the SHA-256 as hexadecimal digits, with progress for files that take more than a second."""
    digest = hashlib.sha256()
    with (
        path.open("rb") as file,
        progress_class()(
            total=path.stat().st_size,
            unit="B",
            unit_scale=True,
            desc=f"hashing {path.name}",
            delay=1.0,
            leave=False,
        ) as progress,
    ):
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            progress.update(len(chunk))
    return digest.hexdigest()


def adapter_sha256(folder: Path) -> str:
    """Return one digest of both files of a LoRA adapter.

    Raises:
        AdapterError: when one cannot be read.
    """
    try:
        digests = [file_sha256(folder / name) for name in (ADAPTER_CONFIG_NAME, ADAPTER_WEIGHTS_NAME)]
    except OSError as error:
        raise AdapterError(
            f"{folder} is not a PEFT adapter: {error.filename} cannot be read ({error.strerror})"
        ) from error
    return hashlib.sha256("".join(digests).encode()).hexdigest()
