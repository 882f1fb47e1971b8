"""The kept corpora: one zip per target; the same inputs always give the same file."""

import hashlib
import zipfile
from pathlib import Path

FOLDER = Path(__file__).parent / "corpus"
TARGETS = ("unpickler", "msgpack", "bmp", "json_stream", "bizhawk_stream", "zmtp", "images", "openpi", "play")

_ANY_DATE = (1980, 1, 1, 0, 0, 0)


def read_corpus(target: str) -> dict[str, bytes]:
    """A target's inputs by their names; none when it has no corpus yet."""
    path = FOLDER / f"{target}.zip"
    if not path.exists():
        return {}
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write_corpus(target: str, inputs: list[bytes]) -> Path:
    """Replace a target's corpus by these inputs; returns its path."""
    named = {hashlib.sha256(data).hexdigest()[:16]: data for data in inputs}
    path = FOLDER / f"{target}.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, data in sorted(named.items()):
            archive.writestr(zipfile.ZipInfo(name, _ANY_DATE), data, zipfile.ZIP_DEFLATED)
    return path
