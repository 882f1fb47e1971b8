"""The archive that torch.save writes: its checksums and content, read without ever running code from it."""

import logging
import pickle
import re
import resource
import struct
import warnings
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from export.checkpoint.file_kinds import foreign_archive, is_archive, not_an_archive
from export.checkpoint.stand_ins import is_numpy_data, places_of, plain, stand_in
from export.errors import NAMED, CheckpointError, first_few, shown

logger = logging.getLogger(__name__)

# The errors of torch.load(weights_only=True) for pickles that it does not understand.
_UNREADABLE = (
    RuntimeError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    ArithmeticError,
    MemoryError,
    OSError,
    struct.error,
    zipfile.BadZipFile,
)
_CHUNK_BYTES = 1 << 22
_OBJECT_BYTES = 32  # of memory, for each byte of the pickle; numbers and short texts take less
_SPARE_BYTES = 1 << 30
_TORCH_PROTOCOL = 2
_PAGES = Path("/proc/self/statm")  # of this process; Linux alone has it
# Nothing that anybody saves needs these; attacks do.
_SUSPECT = re.compile(
    r"(os|posix|nt|sys|subprocess|pty|socket|shutil|runpy|importlib|webbrowser|ctypes|marshal|timeit|bdb|pdb)\..*"
    r"|builtins\.(eval|exec|compile|open|setattr|delattr|__import__|globals|input|breakpoint)"
)
# By which a pickle makes objects of the classes that it names beside them.
_MAKERS = re.compile(
    r"builtins\.(getattr|object|list|dict|tuple|set|int|float|str|bytes|bool|type)|copyreg\..*"
)


def load_archive(path: Path) -> object:
    """Return a checkpoint file's content: its tensors memory-mapped, numpy's objects as inert stand-ins.

    numpy's numbers are Python's own. Nothing from the file is executed.

    Raises:
        CheckpointError: when it is another kind of file, damaged, or holds objects that need code.
    """
    try:
        if not is_archive(path):
            raise CheckpointError(not_an_archive(path))
        _check_records(path)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from error
    try:
        return _load(path)
    except pickle.UnpicklingError as error:
        return _load_with_stand_ins(path, error)


def _check_records(path: Path) -> None:
    """Compare the archive's records with its checksums, which torch.load does not do.

    Raises:
        CheckpointError: when torch did not write it, or a record is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            records = archive.infolist()
            if foreign := foreign_archive(path, [record.filename for record in records]):
                raise CheckpointError(foreign)
            if any(record.compress_type != zipfile.ZIP_STORED for record in records):
                raise CheckpointError(
                    f"{path} was packed again after torch.save wrote it (its records are compressed): give "
                    "the file as torch.save wrote it"
                )
            for record in records:
                # torch writes 0 for all of them when its checksums are switched off.
                if record.CRC and not _is_intact(archive, record):
                    raise CheckpointError(
                        f"{path} is damaged: the bytes of {record.filename} are not those that were saved: "
                        "fetch it again"
                    )
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged ({error}): fetch it again") from error
    unchecked = sum(record.file_size > 0 and not record.CRC for record in records)
    if unchecked:
        logger.warning(
            "%s was saved without checksums (%d of %d records have none): to rule out damage, compare its "
            "SHA-256 with the author's",
            path,
            unchecked,
            len(records),
        )


def _is_intact(archive: zipfile.ZipFile, record: zipfile.ZipInfo) -> bool:
    try:
        with archive.open(record) as file:
            while file.read(_CHUNK_BYTES):
                pass
    except zipfile.BadZipFile:
        return False
    return True


def _load(path: Path) -> object:
    with zipfile.ZipFile(path) as archive:
        pickle_bytes = archive.getinfo(_pickle_name(archive)).file_size
    allowed_bytes = path.stat().st_size + _OBJECT_BYTES * pickle_bytes + _SPARE_BYTES
    try:
        with _memory_at_most(allowed_bytes), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of an unusual protocol: if it cannot be read, an error says so
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError:
        raise
    except _UNREADABLE as error:
        reason = (str(error) or type(error).__name__).splitlines()[0][:300]
        if isinstance(error, MemoryError) or "not enough memory" in reason or "allocate memory" in reason:
            reason = "it asks for much more memory than a checkpoint of its size takes"
        raise CheckpointError(f"{path} is not a readable torch checkpoint: {reason}") from error


@contextmanager
def _memory_at_most(more_bytes: int) -> Iterator[None]:
    """Let this process's address space grow by a number of bytes at most; beyond that, allocating fails."""
    if not _PAGES.exists():
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = int(_PAGES.read_text().split()[0]) * resource.getpagesize() + more_bytes
    allowed = [limit for limit in (soft, hard, most) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_AS, (min(allowed), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _load_with_stand_ins(path: Path, refusal: pickle.UnpicklingError) -> object:
    """Read the content again, with stand-ins for the objects that torch refuses, if they are all numpy's."""
    if (protocol := _protocol(path)) > _TORCH_PROTOCOL:
        raise CheckpointError(
            f"{path} was saved with pickle_protocol={protocol}, which torch reads only by running code from "
            f"the file: save it again with torch's own ({_TORCH_PROTOCOL}), by torch.save without "
            "pickle_protocol"
        ) from refusal
    try:
        names = sorted(torch.serialization.get_unsafe_globals_in_checkpoint(str(path)))
    except (pickle.UnpicklingError, *_UNREADABLE):
        names = []
    if not names:
        raise CheckpointError(
            f"{path} is damaged, or can only be loaded by executing code, which export never does: fetch it "
            "again, or ask its author for one that holds only tensors and plain values"
        ) from refusal
    others = [name for name in names if not is_numpy_data(name)]
    others = [name for name in others if not _MAKERS.fullmatch(name)] or others
    if suspects := [name for name in others if _SUSPECT.fullmatch(name)]:
        raise CheckpointError(
            f"{path} asks for {_listed(suspects)}, as malicious files do: export has run none of it; do not "
            "load it with another program, and get the checkpoint from its author"
        ) from refusal
    try:
        with torch.serialization.safe_globals([(stand_in(name), name) for name in names]):
            content = _load(path)
    except (pickle.UnpicklingError, CheckpointError):
        content = None
    if others or content is None:
        raise CheckpointError(_needs_code(path, others or names, content)) from refusal
    logger.info("%s holds numpy objects: they are read as data", path)
    return plain(content)


def _needs_code(path: Path, names: list[str], content: object) -> str:
    """Return which objects need code to load, where they are, and how to save a checkpoint without them."""
    # As Python writes them.
    keys = [ascii(key)[:60] for key in places_of(names, content) if isinstance(key, (str, int))]
    where = f" under {_listed(keys)}" if keys else ""
    if not keys or len(keys) > NAMED:
        kept = "{key: c[key] for key in ('model', 'ckpt_config')}"
        change = f"torch.save({kept}, 'ng.pt')"
    elif "'ckpt_config'" in keys:
        values = (
            "OmegaConf.to_container(c['ckpt_config'], resolve=True)"
            if any(name.startswith("omegaconf.") for name in names)
            else "... (dicts, lists, numbers and text alone)"
        )
        change = f"c['ckpt_config'] = {values}; torch.save(c, 'ng.pt')"
    elif "'model'" in keys:
        change = "c['model'] = ... (a state_dict() of plain tensors); torch.save(c, 'ng.pt')"
    else:
        change = f"{'; '.join(f'del c[{key}]' for key in keys)}; torch.save(c, 'ng.pt')"
    return (
        f"{path} holds {_listed(names)}{where}, which can only be loaded by executing code, and export never "
        f"does: if you trust the file, save it again without them, c = torch.load('{path.name}', "
        f"weights_only=False); {change}"
    )


def _protocol(path: Path) -> int:
    with zipfile.ZipFile(path) as archive, archive.open(_pickle_name(archive)) as file:
        start = file.read(2)
    return start[1] if start[:1] == pickle.PROTO and len(start) == 2 else 0


def _pickle_name(archive: zipfile.ZipFile) -> str:
    return next(name for name in archive.namelist() if name.endswith("/data.pkl"))


def _listed(names: Iterable[str]) -> str:
    return first_few([shown(name, 100) for name in names])
