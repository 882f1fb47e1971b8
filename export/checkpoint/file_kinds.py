"""Files that are not torch checkpoints: a sentence for each kind, with what to do. Free of torch."""

import json
import struct
import zipfile
from collections.abc import Collection
from pathlib import Path

_HEAD_BYTES = 1 << 16
_TAR_MAGIC = (257, b"ustar")
_MAX_HEADER_BYTES = 10_000_000  # of a safetensors file's list of tensors, which is read here
_ZIP_START = b"PK\x03\x04"

_BY_FIRST_BYTES = (
    (
        b"version https://git-lfs.",
        "is a Git LFS pointer, not the file that it stands for: run git lfs pull, or download the file "
        "itself",
    ),
    # torch's magic number, pickled: what torch.save wrote before 1.6, and still writes when it is asked to.
    (
        b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.",
        "is in torch's format from before version 1.6: save it again in today's, "
        "torch.save(torch.load('{name}', weights_only=True), 'ng.pt')",
    ),
    (b"\x1f\x8b", "is compressed with gzip: unpack it (gunzip, tar -xzf) and give what was in it"),
    (b"BZh", "is compressed with bzip2: unpack it and give what was in it"),
    (b"\xfd7zXZ\x00", "is compressed with xz: unpack it and give what was in it"),
    (b"\x28\xb5\x2f\xfd", "is compressed with Zstandard: unpack it (unzstd) and give what was in it"),
    (b"7z\xbc\xaf\x27\x1c", "is a 7z archive: unpack it and give the checkpoint that is in it"),
    (b"Rar!", "is a RAR archive: unpack it and give the checkpoint that is in it"),
    (b"\x89HDF", "is an HDF5 file, which NitroGen checkpoints are not: give the file that torch.save wrote"),
    (b"GGUF", "is a GGUF file, which NitroGen checkpoints are not: give the file that torch.save wrote"),
    (b"\x93NUMPY", "is a numpy array, not a checkpoint: give the file that torch.save wrote"),
)


def not_an_archive(path: Path) -> str:
    """Return what a file is instead of a whole zip archive, which torch checkpoints are, and what to do.

    Raises:
        OSError: when it cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if not head:
        return f"{path} is empty: the copy or download of it failed, fetch it again"
    for start, kind in _BY_FIRST_BYTES:
        if head.startswith(start):
            return f"{path} {kind.format(name=path.name)}"
    if head.startswith(_ZIP_START):
        return f"{path} is cut off or damaged: the end of its zip archive is missing, fetch it again"
    if head[_TAR_MAGIC[0] :].startswith(_TAR_MAGIC[1]):
        return f"{path} is a tar archive: unpack it (tar -xf) and give the checkpoint that is in it"
    if (names := _safetensors_names(path, head)) is not None:
        if any(".lora_" in name for name in names):
            return (
                f"{path} holds a LoRA adapter: give its folder with --lora, beside the checkpoint that it "
                "was trained on"
            )
        return (
            f"{path} is a safetensors file, which lacks the configuration (ckpt_config) of a NitroGen "
            "checkpoint: save both with torch, weights = safetensors.torch.load_file(...), "
            "torch.save({'model': weights, 'ckpt_config': ckpt_config}, 'ng.pt')"
        )
    if head[:1] == b"\x80" and head[1:2] <= b"\x05":
        return f"{path} is a plain pickle, which export never loads: write the checkpoint with torch.save"
    if (text := _text(head)) is not None:
        return f"{path} {text}"
    return (
        f"{path} is not a torch checkpoint, or its beginning is damaged: fetch it again, or give the file "
        "that torch.save wrote"
    )


def foreign_archive(path: Path, names: Collection[str]) -> str | None:
    """Return what a zip archive is by its records' names, and what to do; None if torch.save wrote it."""
    inner = {name.partition("/")[2] for name in names}
    if "constants.pkl" in inner or any(name.startswith("code/") for name in inner):
        return (
            f"{path} is a TorchScript program, such as an export makes, not a checkpoint: give the ng.pt "
            "that it was made from"
        )
    if "data.pkl" in inner:
        return None
    if names and all(name.endswith(".npy") for name in names):
        return f"{path} is an archive of numpy arrays, not a checkpoint: give the file that torch.save wrote"
    packed = sorted(name for name in names if name.endswith((".pt", ".pth", ".ckpt")))
    what = f"{packed[0]!r:.100}" if packed else "the checkpoint, if there is one in it"
    return f"{path} is a zip archive that torch.save did not write: unpack it and give {what}"


def is_archive(path: Path) -> bool:
    """Return whether a file begins and ends as a zip archive does; a checkpoint that was cut off does not.

    Raises:
        OSError: when it cannot be opened.
    """
    # Given the path, zipfile would say of an unreadable file that it is not an archive.
    with path.open("rb") as file:
        if file.read(len(_ZIP_START)) != _ZIP_START:  # a tar archive may end with one
            return False
        try:
            return zipfile.is_zipfile(file)
        except zipfile.BadZipFile:  # raised for some damaged ends
            return False


def _safetensors_names(path: Path, head: bytes) -> list[str] | None:
    """Return the names of a safetensors file's tensors, None when it is something else."""
    if len(head) < 9 or head[8:9] != b"{":
        return None
    (length,) = struct.unpack("<Q", head[:8])
    if length > path.stat().st_size:
        return None
    if length > _MAX_HEADER_BYTES:
        return []
    with path.open("rb") as file:
        file.seek(8)
        try:
            header = json.loads(file.read(length))
        except (ValueError, RecursionError):
            return []
    return list(header) if isinstance(header, dict) else []


def _text(head: bytes) -> str | None:
    """Return what a text file is, None for anything else."""
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<script")):
        return (
            "is an HTML page, perhaps a login or an error page that came instead of the download: fetch the "
            "file itself (on a hub the address has /resolve/ in it, not /blob/)"
        )
    if start.startswith((b"<?xml", b"<error")):
        return "is XML, perhaps a storage's error that came instead of the download: fetch the file again"
    if start.startswith((b"{", b"[")):
        return "is JSON, perhaps an error that came instead of the download: fetch the file again"
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:  # not a character that the end of `head` cuts in two
            return None
    if b"\0" in head:
        return None
    return "is a text file, not a checkpoint: give the file that torch.save wrote"
