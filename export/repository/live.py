"""Switching running Tritons from one published version of a model to another, without a pause.

Triton (with explicit model control) loads the new version beside the old one and moves requests over when
it is ready; a version that does not load leaves the old one serving. If it ends Triton itself, Triton's next
start finds the old version in the model's config. Several Tritons that read the same repository move one by
one, and all go back when one of them cannot.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from contract.triton_key import TritonKey
from export.errors import ActivationError, RepositoryError, TritonEndedError, TritonNotRunningError
from export.repository.served import changing, history, serve_version, served_number
from export.repository.tritons import Triton, connected_tritons
from export.repository.versions import Version, find_version

logger = logging.getLogger(__name__)

# A Triton opens its port only after it has loaded and warmed up its models.
_RETURN_S = 300.0


def activate(
    repository: Path,
    name: str,
    number: int,
    endpoint: str | None,
    *,
    key: TritonKey | None = None,
    if_running: bool = False,
    start_timeout_s: float = 0.0,
    reload: bool = False,
) -> None:
    """Make running Tritons serve a published version, also after their next start.

    Args:
        repository: the repository's folder, the one that Triton reads.
        name: the model's name.
        number: the version to serve.
        endpoint: HOST:PORT of Triton's gRPC service; None to change only what the next start loads.
        key: of its restricted protocols.
        if_running: whether it is enough, when no Triton answers, that its next start loads the version.
        start_timeout_s: how long to wait for Tritons whose addresses refuse connections, as while they load.
        reload: whether a Triton that serves this number loads it again, because its files were replaced.

    Raises:
        RepositoryError: when there is no such version, or the repository cannot be written.
        TritonNotRunningError: when no Triton answers; nothing has changed.
        ActivationError: when one does not load the version; all run the previous one, and load it next.
        TritonEndedError: when one ended while loading it; the message says whether it came back.
    """
    version = find_version(repository, name, number)
    if endpoint is None:
        serve_version(repository, name, number)
        return
    try:
        with connected_tritons(endpoint, key, start_timeout_s) as tritons:
            next_number = None if reload else served_number(repository, name)
            if next_number == number and all(triton.serves(version) for triton in tritons):
                _tell_serving(tritons, version)
                return
            # Held while the Tritons load, because each reads the model's config then.
            with changing(repository, name) as serve:
                running = [triton.running_version(name) for triton in tritons]
                ready = [other for other in running if other is not None]
                current = next((other for other in ready if other != number), number if ready else None)
                after = _before(repository, name, current)
                _move(tritons, serve, version, after, after, reload=reload)
    except TritonNotRunningError as error:
        if not if_running:
            raise
        if served_number(repository, name) != number:
            serve_version(repository, name, number)
        logger.info(
            "no Triton answers at %s: its next start loads version %d of %s", error.addresses, number, name
        )


def rollback(repository: Path, name: str, endpoint: str | None, *, key: TritonKey | None = None) -> int:
    """Serve the version that was served before the current one.

    Args:
        repository: the model repository.
        name: the model's.
        endpoint: as for `activate`; with one, the current version is the one that Triton runs.
        key: as for `activate`.

    Returns:
        Its number.

    Raises:
        RepositoryError: when no earlier one is left; otherwise as `activate`.
    """
    if endpoint is None:
        with changing(repository, name) as serve:
            past = history(repository, name)[:-1]
            serve(find_version(repository, name, _last(past, repository, name)).number, past[:-1])
        return past[-1]
    with connected_tritons(endpoint, key) as tritons:
        with changing(repository, name) as serve:
            running = [number for triton in tritons if (number := triton.running_version(name)) is not None]
            current = running[0] if running else None
            past = _before(repository, name, current)[:-1]
            target = _last(past, repository, name)
            version = find_version(repository, name, target)
            _move(tritons, serve, version, past[:-1], [*past, *running[:1]])
        return target


def _before(repository: Path, name: str, running: int | None) -> list[int]:
    """Return the numbers of the versions served so far, the one that Triton runs last.

    Versions published after it have not been served by this Triton.
    """
    past = history(repository, name)
    if running in past:
        return past[: past.index(running) + 1]
    return past if running is None else [*past[:-1], running]


def _last(past: list[int], repository: Path, name: str) -> int:
    if not past:
        raise RepositoryError(
            f"there is no earlier version of {name} in {repository} to go back to: see nitrogen-export list"
        )
    return past[-1]


def _move(
    tritons: list[Triton],
    serve: Callable[[int, Sequence[int] | None], None],
    version: Version,
    after: list[int],
    before: list[int],
    *,
    reload: bool = False,
) -> None:
    """Have each Triton serve a version, one after the other; leave alone those that already do.

    Args:
        tritons: in the order in which they move.
        serve: of `changing`.
        version: the one to serve.
        after: the history of served versions when this succeeds.
        before: the history of served versions when this fails.
        reload: whether a Triton that runs it loads it again.
    """
    name, number, repository = version.model_name, version.number, version.folder.parents[1]
    waiting = [triton for triton in tritons if reload or not triton.serves(version)]
    _tell_serving((triton for triton in tritons if triton not in waiting), version)
    serve(number, after)
    moved: list[Triton] = []
    for triton in waiting:
        logger.info("Triton at %s loads version %d of %s", triton.address, number, name)
        try:
            triton.load(name, number, repository)
        except ActivationError as error:
            left = [other for other in before if other != number]
            if not left:
                raise
            serve(left[-1], left[:-1])
            outcome = _moved_back(moved, repository, name, left[-1])
            if isinstance(error, TritonEndedError):
                outcome += _returned(triton, repository, name, left[-1])
            raise type(error)(f"{error}{outcome}") from error
        logger.info("Triton at %s serves version %d of %s", triton.address, number, name)
        moved.append(triton)


def _moved_back(moved: list[Triton], repository: Path, name: str, number: int) -> str:
    """Have Tritons load the version that the model's config names again; return the outcome for a message."""
    outcomes = []
    for triton in moved:
        try:
            triton.load(name, number, repository)
            outcomes.append(f"Triton at {triton.address} went back to version {number}")
        except TritonEndedError as error:
            outcomes.append(f"{error}, and its next start loads it")
        except ActivationError as error:
            outcomes.append(f"{error}, so it still serves the new version")
    return "".join(f"; {outcome}" for outcome in outcomes)


def _tell_serving(tritons: Iterable[Triton], version: Version) -> None:
    what = f"version {version.number} of {version.model_name}"
    for triton in tritons:
        logger.info("Triton at %s serves %s already: nothing to load", triton.address, what)


def _returned(triton: Triton, repository: Path, name: str, number: int) -> str:
    """Wait until a Triton that has ended serves the version in the model's config; return the outcome."""
    logger.warning("Triton at %s ended: waiting for its restart, at most %g s", triton.address, _RETURN_S)
    found = triton.wait_for_return(name, _RETURN_S)
    if found is None:
        return (
            f"; nobody has started it again within {_RETURN_S:g} s: start it, and it loads version {number}"
        )
    if found != number:  # it was faster than the config
        return f"; it was started again{_moved_back([triton], repository, name, number)}"
    return f"; it was started again and serves version {number}"
