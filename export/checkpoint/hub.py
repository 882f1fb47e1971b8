"""The Hugging Face hub, through `huggingface_hub`: its description of a file, and the file's bytes.

`hf_hub_download` starts from zero in every process. So this calls `http_get`, which `hf_hub_download` itself
uses: it continues a partial file.
"""

import logging
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import httpx2
from huggingface_hub import constants, get_hf_file_metadata, get_token, hf_hub_url
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.file_download import http_get
from huggingface_hub.utils import (  # type: ignore[attr-defined]  # documented, but not in an __all__
    build_hf_headers,
    validate_repo_id,
)

from export.checkpoint.network_settings import cannot_pass, check_network_settings, proxy_for
from export.errors import DownloadError
from export.progress import progress_class, size

logger = logging.getLogger(__name__)

DEFAULT_REVISION = "main"
# Pauses after failures that may pass; a download that has got further begins with the first one.
PAUSES_S: tuple[float, ...] = (1.0, 3.0, 10.0)
_PASSING_STATUSES = (408, 429, 500, 502, 503, 504)

# Its user agent would otherwise fetch a list from the hub first, and keep it in the home folder.
constants.HF_HUB_DISABLE_TELEMETRY = True
# It would log every request, with the storage's signed address.
logging.getLogger("httpx2").setLevel(logging.WARNING)


@dataclass(frozen=True)
class HubFile:
    """A file as the hub describes it.

    Attributes:
        commit: the requested revision if a mirror does not tell the commit.
        etag: the SHA-256 of a large file, the SHA-1 of a small one's git blob; a mirror may give
            another hash, or none.
        size: in bytes, None when not told.
    """

    repository: str
    commit: str
    name: str
    etag: str
    size: int | None


def is_repository_id(text: str) -> bool:
    """Return whether a text can name a repository: `owner/name`, or a `name` of the hub's early days."""
    try:
        validate_repo_id(text)
    except HFValidationError:
        return False
    return True


def describe_file(repository: str, revision: str, target: Path) -> HubFile:
    """Ask the hub for the commit, hash and size of the file `target.name`.

    Args:
        repository: `owner/name`.
        revision: a branch, a tag or a commit.
        target: the file's path when it is complete; the errors name it.

    Raises:
        DownloadError: when the hub cannot be reached or does not give the file.
    """
    check_network_settings()
    if not (get_token() or "").isascii():
        raise DownloadError(
            "HF_TOKEN has characters that no token has: copy it again from the hub's settings"
        )
    endpoint = _endpoint()
    url = hf_hub_url(repository, target.name, revision=revision, endpoint=endpoint)
    with _one_sentence(repository, revision, target):
        for pause_s in (*PAUSES_S, None):
            try:
                metadata = get_hf_file_metadata(url, endpoint=endpoint)
                break
            except httpx2.HTTPError as error:
                _pause(pause_s, error)
    if metadata.etag is None:
        raise not_a_hub(target)
    commit = metadata.commit_hash or revision
    return HubFile(repository, commit, target.name, metadata.etag, metadata.size)


def not_a_hub(target: Path) -> DownloadError:
    """Return the error for an answer that is not a hub's but, for example, a login page."""
    return DownloadError(
        f"{_endpoint()} does not answer like a Hugging Face hub: check HF_ENDPOINT and the network's proxy, "
        f"or put the file at {target}"
    )


def download(file: HubFile, partial: Path, target: Path) -> None:
    """Bring a partial file to its full length; what it holds already is not fetched again.

    The bytes are not compared with the file's hash.

    Args:
        file: what `describe_file` returned.
        partial: where the bytes go; it stays when the download breaks off.
        target: the file's path when it is complete; the errors name it.

    Raises:
        DownloadError: when the hub does not give the bytes, the download breaks off without getting further,
            or there is no space for it.
        OSError: when the disk refuses them.
    """
    if file.size is None or _bytes_in(partial) > file.size:
        partial.unlink(missing_ok=True)
    _require_space(file, partial, target)
    logger.info(
        "downloading %s of %s at %s to %s (%s%s)",
        file.name,
        file.repository,
        file.commit,
        target,
        "size unknown" if file.size is None else size(file.size),
        f", of which {size(_bytes_in(partial))} are here" if _bytes_in(partial) else "",
    )
    pauses_s = iter(PAUSES_S)
    while (have := _bytes_in(partial)) != file.size:
        with _one_sentence(file.repository, file.commit, target):
            try:
                _append(file, partial, have)
            except HfHubHTTPError as error:
                _pause(next(pauses_s, None), error)
            except httpx2.TransportError as error:
                if _bytes_in(partial) > have:
                    pauses_s = iter(PAUSES_S)
                    logger.warning("the download of %s broke off (%s): continuing", file.name, _reason(error))
                elif _passes(error) and (pause_s := next(pauses_s, None)) is not None:
                    _pause(pause_s, error)
                elif not _passes(error):
                    raise
                else:
                    total = "?" if file.size is None else f"{file.size:,}"
                    raise DownloadError(
                        f"the download of {file.name} of {file.repository} broke off after {have:,} "
                        f"of {total} bytes ({_reason(error)}): check the network and start again to continue"
                    ) from error
            else:
                return


def _append(file: HubFile, partial: Path, have: int) -> None:
    # The commit's own address, not the storage's behind it: that one is signed, and expires.
    url = hf_hub_url(file.repository, file.name, revision=file.commit, endpoint=_endpoint())
    headers = build_hf_headers(headers={"Accept-Encoding": "identity"})  # a range counts the file's own bytes
    with partial.open("ab") as output:
        http_get(
            url,
            output,
            resume_size=have,
            headers=headers,
            displayed_filename=file.name,
            tqdm_class=progress_class(),
        )


def _pause(pause_s: float | None, error: httpx2.HTTPError) -> None:
    """Wait before another attempt; raise the error if it cannot pass, or if this was the last attempt."""
    if pause_s is None or not _passes(error):
        raise error
    reason = (
        f"HTTP status {error.response.status_code}" if isinstance(error, HfHubHTTPError) else _reason(error)
    )
    logger.warning("asking the hub failed (%s): trying again in %.0f s", reason, pause_s)
    time.sleep(pause_s)


def _passes(error: httpx2.HTTPError) -> bool:
    if isinstance(error, HfHubHTTPError):
        return error.response.status_code in _PASSING_STATUSES
    return isinstance(error, httpx2.TransportError) and cannot_pass(error, proxy_for(_endpoint())) is None


def _endpoint() -> str:
    return (os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")


def _bytes_in(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _require_space(file: HubFile, partial: Path, target: Path) -> None:
    missing = (file.size or 0) - _bytes_in(partial)
    free = shutil.disk_usage(partial.parent).free
    if missing > free:
        raise DownloadError(
            f"no space for {target}: {missing:,} bytes are needed and {free:,} are free: make room, or give "
            "another folder (--models-dir, NITROGEN_MODELS_DIR)"
        )


@contextmanager
def _one_sentence(repository: str, revision: str, target: Path) -> Iterator[None]:
    try:
        yield
    except (OfflineModeIsEnabled, httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise DownloadError(_sentence(error, repository, revision, target)) from error


def _sentence(error: Exception, repository: str, revision: str, target: Path) -> str:
    """Return what an error of the library means, and what to do."""
    endpoint = _endpoint()
    page = f"{endpoint}/{repository}"
    match error:
        case OfflineModeIsEnabled():
            return (
                f"{target} is missing and HF_HUB_OFFLINE is set: unset it, or put the file there or into the "
                "Hugging Face cache"
            )
        case GatedRepoError():
            return f"{repository} is gated: accept its licence on {page} and set HF_TOKEN to your token"
        case RepositoryNotFoundError():
            return (
                f"{endpoint} has no repository {repository}, or it is private: check the name, or set "
                "HF_TOKEN to a token that may read it"
            )
        case RevisionNotFoundError():
            return f"{repository} has no revision {revision!r}: give a branch, a tag or a commit of {page}"
        case RemoteEntryNotFoundError():
            return (
                f"{repository} has no file {target.name} at revision {revision!r}: check both on {page}, "
                f"or put the file at {target}"
            )
        case HfHubHTTPError(response=response) if response.status_code in (401, 403):
            advice = f"check HF_TOKEN, and that its account has accepted the licence on {page}"
        case HfHubHTTPError(response=response) if (
            response.status_code == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED
        ):
            advice = "give the proxy's user and password in HTTP_PROXY, http://USER:PASSWORD@HOST:PORT"
        case HfHubHTTPError(response=response) if response.status_code == HTTPStatus.NOT_FOUND:
            advice = f"check the id {repository}, the revision {revision!r} and HF_ENDPOINT"
        case HfHubHTTPError(response=response):
            advice = f"try again later, or put the file at {target}"
        case _:
            proxy = proxy_for(endpoint)
            through = f" through {proxy}" if proxy else ""
            hopeless = cannot_pass(error, proxy) if isinstance(error, httpx2.HTTPError) else None
            check = proxy.variable if proxy else "the network and HF_ENDPOINT"
            if hopeless:
                return f"cannot reach the hub at {endpoint}{through}: {hopeless}, or put the file at {target}"
            return (
                f"cannot reach the hub at {endpoint}{through} ({_reason(error)}): check {check}, or put the "
                f"file at {target}"
            )
    return (
        f"{endpoint} refuses {target.name} of {repository} with HTTP status {response.status_code}: {advice}"
    )


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
