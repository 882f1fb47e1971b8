"""Files that a hub has for checkpoints: zip archives of bytes that mean nothing."""

import hashlib
import io
import random
import zipfile


def archive(seed: int, size: int) -> bytes:
    """A zip archive, as a checkpoint is, of incompressible bytes."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as content:
        content.writestr("data.pkl", random.Random(seed).randbytes(size))
    return file.getvalue()


SMALL = archive(1, 1000)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def altered(content: bytes) -> bytes:
    return content[:500] + bytes([content[500] ^ 1]) + content[501:]
