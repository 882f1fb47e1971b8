"""Networks of companies: proxies, certificate authorities of their own, mirrors, a shared cache."""

import hashlib
import select
import shutil
import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme
from huggingface_hub import close_session, hf_hub_download

from export.checkpoint.source import DEFAULT_CHECKPOINT, find_checkpoint
from export.errors import CheckpointError, DownloadError
from tests.export.archives import SMALL, altered, sha256
from tests.stack import free_port
from tests.stand_ins.hub_server import Delivery, HubServer, hub_of_this_process


@pytest.fixture(autouse=True)
def what_cannot_pass_is_tried_once(
    monkeypatch: pytest.MonkeyPatch, one_attempt: None, caplog: pytest.LogCaptureFixture
) -> Iterator[None]:
    monkeypatch.setattr("export.checkpoint.hub.PAUSES_S", (0.0,))
    yield
    assert "trying again" not in "".join(record.getMessage() for record in caplog.get_records("call"))


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with hub_of_this_process(monkeypatch) as hub:
        hub.put(DEFAULT_CHECKPOINT, "ng.pt", SMALL)
        yield hub


@pytest.fixture
def tls_hub(monkeypatch: pytest.MonkeyPatch, authority: trustme.CA) -> Iterator[HubServer]:
    """A hub whose certificate is signed by a company's own authority."""
    certificate = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(certificate)
    with hub_of_this_process(monkeypatch, certificate) as hub:
        hub.put(DEFAULT_CHECKPOINT, "ng.pt", SMALL)
        yield hub


@pytest.fixture
def authorities(authority: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "company.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return tmp_path / "models"


def refusal(models: Path) -> str:
    with pytest.raises(DownloadError) as raised:
        find_checkpoint(DEFAULT_CHECKPOINT, models)
    text = str(raised.value)
    assert "\n" not in text
    return text


# Proxies


class Tunnel(socketserver.StreamRequestHandler):
    """One CONNECT of an HTTP proxy."""

    status: str
    seen: list[str]

    def handle(self) -> None:
        if self.rfile.peek(1)[:1] == b"\x16":  # TLS
            self.wfile.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            return
        request = self.rfile.readline().decode()
        while self.rfile.readline().strip():
            pass
        self.seen.append(request)
        self.wfile.write(f"HTTP/1.1 {self.status}\r\nContent-Length: 0\r\n\r\n".encode())
        if not self.status.startswith("200"):
            return
        host, _, port = request.split()[1].rpartition(":")
        with socket.create_connection((host, int(port))) as hub:
            pairs = {self.connection: hub, hub: self.connection}
            while True:
                for source in select.select(list(pairs), [], [])[0]:
                    data = source.recv(1 << 16)
                    if not data:
                        return
                    pairs[source].sendall(data)


@contextmanager
def running_proxy(status: str = "200 OK") -> Iterator[tuple[str, list[str]]]:
    """An HTTP proxy that answers each CONNECT so; its HOST:PORT and what it was asked."""
    seen: list[str] = []
    handler = type("Handler", (Tunnel,), {"status": status, "seen": seen})
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}", seen
        finally:
            close_session()
            server.shutdown()
            thread.join()


def use_proxy(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("HTTPS_PROXY", address)


def test_a_download_through_a_proxy(
    tls_hub: HubServer, models: Path, authorities: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authorities))
    with running_proxy() as (address, seen):
        use_proxy(monkeypatch, f"http://{address}")

        assert find_checkpoint(DEFAULT_CHECKPOINT, models).sha256 == sha256(SMALL)

    assert seen[0].startswith(f"CONNECT 127.0.0.1:{tls_hub.port} ")


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        (
            "ALL_PROXY",
            "socks://10.0.0.1:1080",
            "ALL_PROXY is socks://10.0.0.1:1080, but a proxy's address such as",
        ),
        (
            "https_proxy",
            "socks4://proxy:1080",
            "https_proxy is socks4://proxy:1080, but a proxy's address such as",
        ),
        ("HTTP_PROXY", "ftp://me:secret@proxy", "HTTP_PROXY is ftp://proxy, but a proxy's address such as"),
        ("HTTPS_PROXY", "http://[proxy", "HTTPS_PROXY is not an address, but a proxy's address such as"),
        ("HTTPS_PROXY", "http://proxy:port", "HTTPS_PROXY is not an address, but a proxy's address such as"),
        ("HTTPS_PROXY", "http://", "HTTPS_PROXY is http://, but a proxy's address such as"),
        (
            "ALL_PROXY",
            "socks5://me:secret@proxy:1080",
            "ALL_PROXY is socks5://proxy:1080, and a SOCKS proxy needs the Python package socksio",
        ),
    ],
)
def test_a_proxy_that_cannot_be_used_is_named_with_its_variable(
    hub: HubServer,
    models: Path,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str,
    message: str,
) -> None:
    monkeypatch.setenv(variable, value)

    text = refusal(models)

    assert text.startswith(message)
    assert "secret" not in text
    assert hub.requests == []


def test_with_no_proxy_for_anything_none_is_looked_at(
    hub: HubServer, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks://10.0.0.1:1080")
    monkeypatch.setenv("NO_PROXY", "*")

    assert find_checkpoint(DEFAULT_CHECKPOINT, models).sha256 == sha256(SMALL)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_dead_proxy_is_named(
    tls_hub: HubServer, models: Path, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    address = f"{scheme}://127.0.0.1:{free_port()}"
    use_proxy(monkeypatch, address.replace("//", "//me:secret@"))

    text = refusal(models)

    assert f"through the proxy {address} (HTTPS_PROXY): the proxy takes no connections" in text
    assert "secret" not in text


def test_a_proxy_whose_name_nobody_knows(
    tls_hub: HubServer, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_proxy(monkeypatch, "proxy.invalid:3128")

    message = "through the proxy http://proxy.invalid:3128 (HTTPS_PROXY): no machine has this name: check"
    assert message in refusal(models)


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (
            "407 Proxy Authentication Required",
            "wants a user and password: give HTTPS_PROXY as http://USER:PASS",
        ),
        ("403 Forbidden", "the proxy refuses (403 Forbidden): ask its administrator to let the hub through"),
    ],
)
def test_a_proxy_that_refuses(
    tls_hub: HubServer, models: Path, monkeypatch: pytest.MonkeyPatch, status: str, message: str
) -> None:
    with running_proxy(status) as (address, seen):
        use_proxy(monkeypatch, address)

        assert message in refusal(models)

    assert len(seen) == 1


def test_a_proxy_that_speaks_no_tls(
    tls_hub: HubServer, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_proxy() as (address, _):
        use_proxy(monkeypatch, f"https://{address}")

        assert "does not speak TLS: perhaps HTTPS_PROXY must begin with http://" in refusal(models)


# Certificate authorities


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_an_authority_of_ones_own(
    tls_hub: HubServer, models: Path, authorities: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, str(authorities))

    assert find_checkpoint(DEFAULT_CHECKPOINT, models).sha256 == sha256(SMALL)


def test_an_unknown_authority_is_not_tried_again(tls_hub: HubServer, models: Path) -> None:
    assert "its certificate is not trusted (unable to get local issuer certificate): set SSL_CERT_FILE" in (
        refusal(models)
    )
    assert tls_hub.requests == []


def test_another_authority_than_the_one_given(
    tls_hub: HubServer, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    monkeypatch.setenv("SSL_CERT_FILE", str(other))

    assert "is not trusted (unable to get local issuer certificate): set SSL_CERT_FILE" in refusal(models)
    assert f"(now SSL_CERT_FILE={other})" in refusal(models)


def test_a_hub_without_tls_at_an_https_address(
    hub: HubServer, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", f"https://127.0.0.1:{hub.port}")

    assert "it does not speak TLS: perhaps HF_ENDPOINT must begin with http://" in refusal(models)


@pytest.mark.parametrize(
    ("endpoint", "message"),
    [
        ("hub.company.example", "HF_ENDPOINT must begin with https:// or http://"),
        ("http://hub.invalid", "no machine has this name: check HF_ENDPOINT"),
    ],
)
def test_an_endpoint_that_cannot_be_right_is_tried_once(
    hub: HubServer, models: Path, monkeypatch: pytest.MonkeyPatch, endpoint: str, message: str
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", endpoint)

    assert message in refusal(models)


def test_a_token_that_no_header_can_hold(
    hub: HubServer, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "“hf_abc”")

    text = refusal(models)

    assert text.startswith("HF_TOKEN has characters that no token has")
    assert "abc" not in text
    assert hub.requests == []


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"])
def test_authorities_that_are_not_there(
    hub: HubServer, models: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "/nowhere/company.pem")

    text = refusal(models)

    assert text.startswith(f"{variable} is '/nowhere/company.pem', but no certificate authorities can be")
    assert "(No such file or directory)" in text
    assert hub.requests == []


@pytest.mark.parametrize("content", [b"", b"not a certificate", b"\x30\x82\x01\x0a"])
def test_a_file_without_authorities(
    hub: HubServer, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    path = tmp_path / "company.crt"
    path.write_bytes(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))

    assert "it has no certificate in PEM form" in refusal(models)


# Mirrors


@pytest.mark.parametrize(
    "etag",
    [
        sha256(SMALL),
        hashlib.sha1(SMALL).hexdigest(),
        f"{{SHA1{{{hashlib.sha1(SMALL).hexdigest()}}}}}",
        hashlib.md5(SMALL).hexdigest(),
        "6543-2a",
    ],
    ids=["SHA-256", "SHA-1", "SHA-1 in braces", "MD5", "of several parts"],
)
def test_a_mirror_that_tells_no_commit(hub: HubServer, models: Path, etag: str) -> None:
    hub.mirror_etag = etag

    found = find_checkpoint(DEFAULT_CHECKPOINT, models)

    assert (found.sha256, found.origin) == (sha256(SMALL), "nvidia/NitroGen@main")
    hub.requests.clear()
    assert find_checkpoint(DEFAULT_CHECKPOINT, models) == found
    assert hub.requests == []


def test_a_mirrors_damaged_file_is_found_by_its_sha1(
    hub: HubServer, models: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hub.mirror_etag = hashlib.sha1(SMALL).hexdigest()
    # Its HEAD is not a delivery; the first GET is.
    hub.deliveries.append(Delivery(content=altered(SMALL)))

    assert find_checkpoint(DEFAULT_CHECKPOINT, models).sha256 == sha256(SMALL)
    assert (
        f"its SHA-1 {hashlib.sha1(altered(SMALL)).hexdigest()}, but {hub.mirror_etag} on the hub"
        in caplog.text
    )


def test_a_page_with_an_etag_is_no_checkpoint(hub: HubServer, models: Path) -> None:
    hub.put(DEFAULT_CHECKPOINT, "ng.pt", b"<html>Please log in</html>")
    hub.mirror_etag = "1a2b"

    assert "does not answer like a Hugging Face hub" in refusal(models)
    assert list((models / DEFAULT_CHECKPOINT).glob("ng.pt")) == []


# The cache that other programs fill


@pytest.fixture
def cached(hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The checkpoint in a Hugging Face cache, as `hf_hub_download` leaves it; its link."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    path = Path(
        hf_hub_download(
            DEFAULT_CHECKPOINT, "ng.pt", cache_dir=tmp_path / "cache", endpoint=hub.url, token=False
        )
    )
    hub.requests.clear()
    return path


def test_a_file_in_the_cache_is_used(hub: HubServer, models: Path, cached: Path) -> None:
    assert cached.is_symlink()

    found = find_checkpoint(DEFAULT_CHECKPOINT, models)

    commit = cached.parent.name
    assert (found.path, found.sha256) == (cached, sha256(SMALL))
    assert found.origin == f"nvidia/NitroGen@{commit}"
    assert find_checkpoint(f"{DEFAULT_CHECKPOINT}@{commit}", models).path == cached
    assert hub.requests == []
    assert not models.exists()


def test_another_revision_is_not_the_cached_one(hub: HubServer, models: Path, cached: Path) -> None:
    hub.put(DEFAULT_CHECKPOINT, "ng.pt", altered(SMALL), revision="v2")

    assert find_checkpoint(f"{DEFAULT_CHECKPOINT}@v2", models).sha256 == sha256(altered(SMALL))


def test_a_damaged_file_in_the_cache_is_downloaded(
    hub: HubServer, models: Path, cached: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cached.resolve().write_bytes(altered(SMALL))

    assert find_checkpoint(DEFAULT_CHECKPOINT, models).path.is_relative_to(models)
    assert "ng.pt in the Hugging Face cache cannot be used: its SHA-256 is " in caplog.text


def test_a_cache_without_links_is_used(hub: HubServer, models: Path, cached: Path) -> None:
    """As on file systems that have none."""
    content = cached.read_bytes()
    cached.unlink()
    cached.write_bytes(content)

    assert find_checkpoint(DEFAULT_CHECKPOINT, models).path == cached
    cached.write_bytes(content[:-100])
    assert find_checkpoint(DEFAULT_CHECKPOINT, models).path.is_relative_to(models)


def test_a_link_in_the_cache_that_leads_nowhere_is_told(
    hub: HubServer, models: Path, cached: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.rmtree(cached.resolve().parent)

    assert find_checkpoint(DEFAULT_CHECKPOINT, models).path.is_relative_to(models)
    assert f"{cached} is a broken link to {cached.readlink()}" in caplog.text


@pytest.mark.parametrize("what", ["file", "folder", "file in a folder", "download", "models folder"])
def test_a_link_that_leads_nowhere_is_named(hub: HubServer, models: Path, tmp_path: Path, what: str) -> None:
    link, wanted = {
        "file": (tmp_path / "mine.pt", str(tmp_path / "mine.pt")),
        "folder": (tmp_path / "mine", str(tmp_path / "mine" / "ng.pt")),
        "file in a folder": (tmp_path / "here" / "ng.pt", str(tmp_path / "here")),
        "download": (models / DEFAULT_CHECKPOINT / "ng.pt", DEFAULT_CHECKPOINT),
        "models folder": (models, DEFAULT_CHECKPOINT),
    }[what]
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to("/nowhere/at-all")

    with pytest.raises(CheckpointError, match=f"{link} is a broken link to /nowhere/at-all"):
        find_checkpoint(wanted, models)
    assert hub.requests == []
