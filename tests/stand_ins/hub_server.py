"""A small Hugging Face hub on a real socket, with its metadata, redirects, ranges, gates and bad days.

Large (LFS) files are redirected to a storage of another origin (`localhost` instead of `127.0.0.1`), small
ones to a cache of the same origin, as huggingface.co does.
"""

import fcntl
import hashlib
import json
import os
import socket
import ssl
import struct
import sys
import termios
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import pytest
from huggingface_hub import close_session

RELEASE_S = 20
PROXIES = [
    name for scheme in ("http", "https", "all") for name in (f"{scheme}_proxy", f"{scheme}_PROXY".upper())
]


@dataclass(frozen=True)
class StoredFile:
    """A file of one commit; `large` ones are in the storage, under their SHA-256."""

    content: bytes
    large: bool

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def git_blob(self) -> str:
        return hashlib.sha1(b"blob %d\0" % len(self.content) + self.content).hexdigest()


@dataclass(frozen=True)
class Refusal:
    """An answer instead of the metadata or the bytes."""

    status: int
    error_code: str | None = None
    message: str | None = None


@dataclass
class Delivery:
    """How one GET of a file's bytes goes; the default is: well.

    `content` replaces the right bytes; `cut_after` ends the connection after that many bytes, by a reset
    with `reset`; `hold_after` waits there until `released` is set.
    """

    content: bytes | None = None
    cut_after: int | None = None
    reset: bool = False
    hold_after: int | None = None
    released: threading.Event = field(default_factory=threading.Event)
    ignores_range: bool = False
    refusal: Refusal | None = None


@dataclass(frozen=True)
class Request:
    """A client's request."""

    method: str
    host: str
    path: str
    range: str | None
    authorization: str | None


class HubServer:
    """The hub's files, how it behaves, and the requests that it got.

    `deliveries` are used up one by one by GETs of bytes; then everything goes well. `token`: what gated
    repositories want to see. `mirror_etag`: it is a mirror, which serves the bytes itself, with this ETag and
    without a commit.
    """

    def __init__(self) -> None:
        self.revisions: dict[str, dict[str, str]] = {}
        self.files: dict[tuple[str, str, str], StoredFile] = {}
        self.deliveries: deque[Delivery] = deque()
        self.refusal: Refusal | None = None
        self.token: str | None = None
        self.stated_size: int | None = None
        self.is_a_hub = True
        self.mirror_etag: str | None = None
        self.requests: list[Request] = []
        self.port = 0
        self.scheme = "http"

    @property
    def url(self) -> str:
        """Return the value for HF_ENDPOINT."""
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def put(
        self, repository: str, name: str, content: bytes, revision: str = "main", *, large: bool = True
    ) -> str:
        """Add a file to a branch or tag of a repository; the branch's commit."""
        commit = hashlib.sha1(f"{repository}@{revision}".encode()).hexdigest()
        self.revisions.setdefault(repository, {})[revision] = commit
        self.files[repository, commit, name] = StoredFile(content, large)
        return commit

    def byte_requests(self) -> list[Request]:
        """The GETs, without the redirects that led to them."""
        return [seen for seen in self.requests if seen.method == "GET" and "/resolve/" not in seen.path]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    hub: HubServer

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        with suppress(ConnectionError):  # a client that is killed
            self._serve()

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _serve(self) -> None:
        hub = self.hub
        path = unquote(urlsplit(self.path).path)
        headers = self.headers
        hub.requests.append(
            Request(self.command, headers["Host"], self.path, headers["Range"], headers["Authorization"])
        )
        words = path.strip("/").split("/")
        if not hub.is_a_hub:
            self._answer(200, {"Content-Type": "text/html"}, b"<h1>Welcome to this hotel</h1>")
        elif "resolve" in words[1:3]:  # after owner/name, or a name of the hub's early days
            at = words.index("resolve")
            self._resolve("/".join(words[:at]), *self._split_revision(words[at + 1 :]))
        elif words[0] == "storage":
            self._deliver(next(file for file in hub.files.values() if file.sha256 == words[1]), {})
        elif words[:2] == ["api", "resolve-cache"]:
            key = next(key for key in hub.files if "/".join(key) == "/".join(words[3:]))
            commit, file = key[1], hub.files[key]
            self._deliver(file, {"ETag": f'"{file.git_blob}"', "X-Repo-Commit": commit})
        else:
            self._refuse(Refusal(404))

    @staticmethod
    def _split_revision(words: list[str]) -> tuple[str, str]:
        return "/".join(words[:-1]), words[-1]

    def _resolve(self, repository: str, revision: str, name: str) -> None:
        """Metadata, and where the bytes are."""
        hub = self.hub
        revisions = hub.revisions.get(repository)
        if hub.refusal is not None:
            return self._refuse(hub.refusal)
        if revisions is None:
            return self._refuse(Refusal(401, "RepoNotFound", "Invalid username or password."))
        if hub.token is not None and self.headers["Authorization"] != f"Bearer {hub.token}":
            status = 403 if self.headers["Authorization"] else 401
            return self._refuse(Refusal(status, "GatedRepo", f"Access to model {repository} is restricted."))
        commit = revision if revision in revisions.values() else revisions.get(revision)
        if commit is None:
            return self._refuse(Refusal(404, "RevisionNotFound", f"Invalid rev id: {revision}"))
        file = hub.files.get((repository, commit, name))
        if file is None:
            return self._refuse(Refusal(404, "EntryNotFound", "Entry not found"))
        if hub.mirror_etag is not None:
            return self._deliver(file, {"ETag": f'"{hub.mirror_etag}"'})
        size = len(file.content) if hub.stated_size is None else hub.stated_size
        described = {"X-Repo-Commit": commit, "X-Linked-Size": str(size)}
        if file.large:
            described |= {
                "X-Linked-Etag": f'"{file.sha256}"',
                "X-Xet-Hash": hashlib.sha256(file.content[::-1]).hexdigest(),
                "Link": f'<{hub.url}/api/models/{repository}/xet-read-token/{commit}>; rel="xet-auth"',
                "Location": f"{hub.scheme}://localhost:{hub.port}/storage/{file.sha256}?Signature=0123",
            }
            return self._answer(302, described)
        described |= {
            "X-Linked-Etag": f'"{file.git_blob}"',
            "Location": f"/api/resolve-cache/models/{repository}/{commit}/{name}?etag={file.git_blob}",
        }
        return self._answer(307, described)

    def _deliver(self, file: StoredFile, headers: dict[str, str]) -> None:
        """The bytes, or the part of them that is asked for."""
        if self.command == "HEAD":
            return self._answer(200, {**headers, "Content-Length": str(len(file.content))})
        delivery = self.hub.deliveries.popleft() if self.hub.deliveries else Delivery()
        if delivery.refusal is not None:
            return self._refuse(delivery.refusal)
        content = file.content if delivery.content is None else delivery.content
        start = 0
        wanted = self.headers["Range"]
        if wanted and not delivery.ignores_range:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                return self._answer(416, {"Content-Range": f"bytes */{len(content)}"})
            headers = {**headers, "Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
        self.send_response(206 if start else 200)
        for name, value in {**headers, "Content-Length": str(len(content) - start)}.items():
            self.send_header(name, value)
        self.end_headers()
        body = memoryview(content)[start:]
        if delivery.hold_after is not None:
            self.wfile.write(body[: delivery.hold_after])
            body = body[delivery.hold_after :]
            delivery.released.wait(RELEASE_S)
        if delivery.cut_after is None:
            self.wfile.write(body)
            return None
        self.wfile.write(body[: delivery.cut_after])
        self.close_connection = True
        if delivery.reset:
            self._reset()
        return None

    def _reset(self) -> None:
        """End the connection by a reset, once the client has been sent everything."""
        while int.from_bytes(fcntl.ioctl(self.connection, termios.TIOCOUTQ, bytes(4)), sys.byteorder):
            pass
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.connection.detach())

    def _refuse(self, refusal: Refusal) -> None:
        headers = {"Content-Type": "application/json"}
        if refusal.error_code is not None:
            headers["X-Error-Code"] = refusal.error_code
        if refusal.message is not None:
            headers["X-Error-Message"] = refusal.message
        self._answer(refusal.status, headers, json.dumps({"error": refusal.message}).encode())

    def _answer(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@contextmanager
def running_hub(certificate: ssl.SSLContext | None = None) -> Iterator[HubServer]:
    """A hub on a free port of this machine, which speaks TLS with a certificate."""
    hub = HubServer()
    handler = type("Handler", (_Handler,), {"hub": hub})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        hub.port = server.server_port
        if certificate is not None:
            hub.scheme = "https"
            server.socket = certificate.wrap_socket(
                server.socket, server_side=True, do_handshake_on_connect=False
            )
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def hub_of_this_process(
    monkeypatch: pytest.MonkeyPatch, certificate: ssl.SSLContext | None = None
) -> Iterator[HubServer]:
    """A running hub that `huggingface_hub` in this process uses, whatever its environment says."""
    with running_hub(certificate) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
            monkeypatch.setenv(name, "")
        for name in PROXIES:
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", "/nonexistent")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
        monkeypatch.delenv("HF_TOKEN", raising=False)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        close_session()  # its connections are to another test's hub
        yield hub
        close_session()
