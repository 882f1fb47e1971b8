"""Which version of a model Triton loads next, and which ones it served before: config and history."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from export.errors import RepositoryError
from export.folder_lock import locked
from export.formats.format import CONFIG_NAME
from export.pulse import Pulse
from export.repository.manifest import MANIFEST_NAME
from export.repository.partials import version_numbers
from export.repository.triton_config import read_config
from export.writable import advice

HISTORY_NAME = "history.json"


def serve_version(repository: Path, name: str, number: int, *, after: Sequence[int] | None = None) -> None:
    """Make a published version the one that Triton loads next.

    Args:
        repository: the model repository.
        name: the model's.
        number: the version's.
        after: numbers of the versions served before it, oldest first; None for all that the history has.

    Raises:
        RepositoryError: when the version is not there or the model's folder cannot be written.
    """
    with changing(repository, name) as choose:
        choose(number, after)


@contextmanager
def changing(repository: Path, name: str) -> Iterator[Callable[[int, Sequence[int] | None], None]]:
    """Keep other processes from publishing, serving and removing versions of a model meanwhile.

    Yields:
        A function that makes a version the one that Triton loads next, with `number` and `after` as
        `serve_version`.

    Raises:
        RepositoryError: as `serve_version`.
    """
    try:
        with locked(repository / name) as lock:
            yield lambda number, after: serve(repository, name, number, lock, after)
    except OSError as error:
        raise RepositoryError(
            f"{repository / name} cannot be changed to serve another version ({error.strerror or error}): "
            f"{advice(error, 'choose another --repository')}"
        ) from error


def served_number(repository: Path, name: str) -> int | None:
    """Return the version that the model's config names, None when there is no such config."""
    try:
        named = read_config(repository / name / CONFIG_NAME).version_policy.specific.versions
    except RepositoryError:
        return None
    return int(named[0]) if len(named) == 1 else None


def history(repository: Path, name: str) -> list[int]:
    """Return the numbers of the versions to serve so far that are still there, the current one last."""
    model_folder = repository / name
    try:
        numbers = json.loads((model_folder / HISTORY_NAME).read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        numbers = []
    present = version_numbers(model_folder)
    return [number for number in numbers if number in present] if isinstance(numbers, list) else []


def serve(repository: Path, name: str, number: int, lock: Pulse, after: Sequence[int] | None = None) -> None:
    """Copy a version's config and manifest to the model's folder; the history comes last.

    Args:
        repository: the model repository.
        name: the model's.
        number: the version's.
        lock: of the model's folder.
        after: as for `serve_version`.

    Raises:
        OSError: when the folder cannot be written.
        RepositoryError: when another process has taken the lock over.
    """
    model_folder = repository / name
    past = history(repository, name) if after is None else after
    numbers = [*(other for other in past if other != number), number]
    contents = {
        file: (model_folder / str(number) / file).read_bytes() for file in (MANIFEST_NAME, CONFIG_NAME)
    }
    for file, content in (*contents.items(), (HISTORY_NAME, json.dumps(numbers).encode())):
        staged = model_folder / f".{file}.staged"
        staged.write_bytes(content)
        if not lock.is_whole:
            raise RepositoryError(
                f"another machine took over {model_folder} while this process was halted: see "
                "nitrogen-export list, and start again"
            )
        staged.replace(model_folder / file)
