"""Proxies and certificate authorities that the environment names, checked before the hub is asked."""

import logging
import os
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx2

from export.errors import DownloadError

logger = logging.getLogger(__name__)

_NOT_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE")  # as OpenSSL calls an answer in plain text
_SCHEMES = ("http", "https", "socks5", "socks5h")
# Administrators set these for other programs; this one's libraries read the first two.
_FILES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


@dataclass(frozen=True)
class Proxy:
    """A proxy and the variable that names it."""

    variable: str
    url: str

    def __str__(self) -> str:
        return f"the proxy {without_password(self.url)} ({self.variable})"


def check_network_settings() -> None:
    """Check the variables that name proxies and certificate authorities, and have the latter used.

    Raises:
        DownloadError: naming the variable whose value cannot be used.
    """
    if "*" not in [each.strip() for each in getproxies().get("no", "").split(",")]:
        for scheme in ("https", "http", "all"):
            if (proxy := _proxy(scheme)) is not None:
                _check_proxy(proxy)
    _take_authorities()


def proxy_for(url: str) -> Proxy | None:
    """Return the proxy that requests to an address go through, None for none."""
    try:
        parts = urlsplit(url)
        direct = not parts.hostname or proxy_bypass(parts.hostname)
    except ValueError:  # it is not an address
        return None
    if direct:
        return None
    return _proxy(parts.scheme) or _proxy("all")


def cannot_pass(error: httpx2.HTTPError, proxy: Proxy | None) -> str | None:
    """Return why trying again cannot help, with what to do; None when it may."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            given = next((f" (now {name}={os.environ[name]})" for name in _FILES if os.environ.get(name)), "")
            return (
                f"its certificate is not trusted ({cause.verify_message}): set SSL_CERT_FILE to a PEM file "
                f"of your network's certificate authorities{given}"
            )
        if isinstance(cause, ssl.SSLError) and cause.reason in _NOT_TLS:
            is_proxys = proxy is not None and proxy.url.startswith("https:")
            who, variable = ("the proxy", proxy.variable) if proxy and is_proxys else ("it", "HF_ENDPOINT")
            return f"{who} does not speak TLS: perhaps {variable} must begin with http://"
        if isinstance(cause, socket.gaierror) and cause.errno == socket.EAI_NONAME:
            name = proxy.variable if proxy else "HF_ENDPOINT and the network's name servers"
            return f"no machine has this name: check {name}"
        if isinstance(cause, ConnectionRefusedError) and proxy is not None:
            return f"the proxy takes no connections: start it, or correct or unset {proxy.variable}"
    if isinstance(error, httpx2.UnsupportedProtocol):
        return "HF_ENDPOINT must begin with https:// or http://"
    if isinstance(error, httpx2.ProxyError) and proxy is not None and str(error).startswith("4"):
        if str(error).startswith("407"):
            user = f"give {proxy.variable} as http://USER:PASSWORD@HOST:PORT"
            return f"the proxy wants a user and password: {user}"
        return f"the proxy refuses ({error}): ask its administrator to let the hub through"
    return None


def without_password(url: str) -> str:
    """Return an address as it may be shown."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def _proxy(scheme: str) -> Proxy | None:
    url = getproxies().get(scheme)
    if not url:
        return None
    name = f"{scheme}_proxy"
    variable = name if os.environ.get(name) else name.upper()
    return Proxy(variable, url if "://" in url else f"http://{url}")


def _check_proxy(proxy: Proxy) -> None:
    try:
        url = httpx2.URL(proxy.url)
        shown = without_password(proxy.url)
        valid = bool(url.host)
    except (httpx2.InvalidURL, ValueError):
        shown, valid = "not an address", False
    scheme = proxy.url.partition("://")[0].lower()
    if scheme not in _SCHEMES or not valid:
        raise DownloadError(
            f"{proxy.variable} is {shown}, but a proxy's address such as http://proxy:3128 is needed (http, "
            "https, socks5 or socks5h): correct or unset it"
        )
    if scheme.startswith("socks") and find_spec("socksio") is None:
        raise DownloadError(
            f"{proxy.variable} is {shown}, and a SOCKS proxy needs the Python package socksio, which is not "
            "here: install it (pip install socksio), or give an HTTP proxy's address, or unset "
            f"{proxy.variable}"
        )


def _take_authorities() -> None:
    name = next((name for name in _FILES if os.environ.get(name)), None)
    if name is None:
        return
    path = Path(os.environ[name])
    try:
        if path.is_dir() and name != "SSL_CERT_FILE":
            kind = "SSL_CERT_DIR"
        elif name == "SSL_CERT_DIR":
            raise FileNotFoundError(2, os.strerror(2))
        else:
            kind = "SSL_CERT_FILE"
            ssl.create_default_context(cafile=path)
    except OSError as error:  # as ssl's own errors are
        reason = (
            error.strerror if not isinstance(error, ssl.SSLError) else "it has no certificate in PEM form"
        )
        raise DownloadError(
            f"{name} is {os.environ[name][:200]!r}, but no certificate authorities can be read there "
            f"({reason}): give a PEM file of them, or unset it"
        ) from error
    if kind != name:
        logger.info("certificate authorities are those of %s (%s)", name, path)
        # The hub's library reads it, in this process and in an export that it starts.
        os.environ[kind] = str(path)
