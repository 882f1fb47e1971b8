"""The gateway's own pages: files in memory, with headers that keep a page from loading anything else."""

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from aiohttp import hdrs, web

PAGES = Path(__file__).parents[1] / "pages"

logger = logging.getLogger(__name__)

_INDEX = "index.html"
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".webp": "image/webp",
}
_OTHER_TYPE = "application/octet-stream"
_HEADERS = {
    hdrs.CACHE_CONTROL: "no-cache",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' blob: data:; media-src 'self' blob:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
# Without TLS a browser takes no notice of it, and says so in its console.
_HEADERS_BY_TLS = {"Cross-Origin-Opener-Policy": "same-origin"}


@dataclass(frozen=True, slots=True)
class _File:
    body: bytes
    type: str
    tag: str


class StaticFiles:
    """Files by their URLs' paths. A path is only looked up, so it cannot lead to another file.

    Args:
        folders: by the first part of the URL, "" for the root. A folder's own path shows its `index.html`.
            Names that begin with a dot are left out.
    """

    def __init__(self, folders: Mapping[str, Path]) -> None:
        self._files = {
            path: file for prefix, folder in folders.items() for path, file in _files(prefix, folder)
        }

    def response(self, request: web.BaseRequest) -> web.Response:
        """Return the response to a request for a file: 200, 304, 404, or 405 for a method other than GET."""
        if request.method not in (hdrs.METH_GET, hdrs.METH_HEAD):
            return web.Response(status=405, headers={hdrs.ALLOW: "GET, HEAD"}, text="only GET works here\n")
        file = self._files.get(request.path)
        if file is None:
            return web.Response(status=404, headers=_HEADERS, text="page not found\n")
        by_tls = _HEADERS_BY_TLS if request.secure else {}
        headers = {**_HEADERS, **by_tls, hdrs.ETAG: file.tag, hdrs.CONTENT_TYPE: file.type}
        if file.tag in request.headers.get(hdrs.IF_NONE_MATCH, ""):
            return web.Response(status=304, headers=headers)
        return web.Response(body=file.body, headers=headers)


def _files(prefix: str, folder: Path) -> list[tuple[str, _File]]:
    found = []
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if not path.is_file() or any(part.startswith(".") for part in parts):
            continue
        body = path.read_bytes()
        tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        file = _File(body, _TYPES.get(path.suffix, _OTHER_TYPE), tag)
        found.append((f"{prefix}/{'/'.join(parts)}", file))
        if parts == (_INDEX,):
            found += [(f"{prefix}/", file), *([(prefix, file)] if prefix else [])]
    return found
