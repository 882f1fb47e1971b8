"""The gateway's settings: flags and `NITROGEN_*` environment variables, checked at the start.

A flag wins over its variable, a variable over the default. Code that embeds the gateway builds
`GatewaySettings(...)` itself; `command_line.parse_settings` is for the command line. Secrets are never
values here, only the files that hold them. Everything about a setting is here, in its own lines.
"""

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from command_line.paths import local_path
from contract.endpoint import Endpoint, parse_endpoint, parse_endpoints

ENV_PREFIX = "NITROGEN_"
OFF = "off"

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Takes:
    """The values that a setting takes, in words: for the error, where its limits do not say it."""

    words: str


@dataclass(frozen=True, slots=True)
class Needs:
    """The setting that another one needs."""

    field: str


@dataclass(frozen=True, slots=True)
class ExistingFile:
    """A setting whose file must exist."""


PortNumber = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=10_000_000, allow_inf_nan=False)]
Bytes = Annotated[int, Field(gt=0, le=2**40)]
Count = Annotated[int, Field(gt=0, le=10_000_000)]

# Code that embeds the gateway gives a Path.
LocalPath = Annotated[
    Path, BeforeValidator(lambda value: local_path(value) if isinstance(value, str) else value)
]
FileOrNone = Annotated[LocalPath | None, ExistingFile()]


def _none_for_off(value: object) -> object:
    return None if str(value).lower() == OFF else value


# Users write "off" for None: the port is not opened.
PortOrOff = Annotated[
    PortNumber | None,
    BeforeValidator(_none_for_off),
    Takes("a whole number from 0 up to 65535, or off, is needed"),
]


def _parse_networks(value: str) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(part.strip()) for part in value.split(","))


def _parse_origins(value: str) -> tuple[str, ...]:
    """Return origins as browsers send them: scheme, name, and the port where it is not the scheme's own."""
    return tuple(parse_origin(part.strip()) for part in value.split(","))


def parse_origin(text: str) -> str:
    """Return an origin as browsers send it; raise ValueError for other texts."""
    parts = urlsplit(text)
    host, port = parts.hostname, parts.port
    if (
        parts.scheme not in ("http", "https")
        or not host
        or text.count("/") > 3
        or parts.path not in ("", "/")
    ):
        raise ValueError(f"{text!r} is not an origin")
    name = f"[{host}]" if ":" in host else host
    usual = {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{name}" if port in (None, usual) else f"{parts.scheme}://{name}:{port}"


def _read_by(parse: Callable[[str], object]) -> AfterValidator:
    """Return a validator for a text that `parse` must be able to read."""

    def check(value: str) -> str:
        parse(value)
        return value

    return AfterValidator(check)


class GatewaySettings(BaseSettings):
    """Protocol gateway between game clients and NitroGen models in NVIDIA Triton."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=ENV_PREFIX,
        env_ignore_empty=True,
        use_attribute_docstrings=True,
        cli_prog_name="nitrogen-gateway",
        cli_kebab_case=True,
        cli_hide_none_type=True,
        cli_implicit_flags=True,
        cli_exit_on_error=False,
    )

    triton: Annotated[
        str,
        _read_by(parse_endpoints),
        Takes("HOST:PORT is needed, such as 127.0.0.1:8001, or several with commas between"),
    ] = "127.0.0.1:8001"
    """Triton's gRPC endpoint, HOST:PORT, or several with commas between; these, and all addresses of a host
    name, take turns."""
    triton_tls: bool = False
    """Speak TLS to Triton."""
    triton_tls_ca: Annotated[FileOrNone, Needs("triton_tls")] = None
    """PEM file with the certificate authority that signed Triton's certificate; by default the public ones
    that come with gRPC."""
    triton_tls_cert: Annotated[FileOrNone, Needs("triton_tls_key")] = None
    """PEM file with the gateway's own certificate, for a Triton that asks for one (mutual TLS)."""
    triton_tls_key: Annotated[FileOrNone, Needs("triton_tls")] = None
    """PEM file with the key of --triton-tls-cert."""
    triton_key_file: FileOrNone = None
    """File with the line NAME=VALUE, the key of a Triton with restricted protocols."""
    triton_shared_memory: bool | None = None
    """Pass frames to Triton through shared memory; by default if --triton is one address of this host and
    that Triton accepts it."""
    otlp_endpoint: Annotated[
        Annotated[str, _read_by(parse_endpoint)] | None,
        Takes("HOST:PORT is needed, such as 127.0.0.1:4317"),
    ] = None
    """HOST:PORT of an OpenTelemetry collector's gRPC service, which gets a trace of each call to Triton."""
    model: Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^/\s]+$")] = "nitrogen"
    """Model for requests that name none: its name in Triton's model repository."""
    game: str | None = None
    """Game for requests that name none: a name or an id from the model's game table."""
    host: Annotated[str, Field(min_length=1, pattern=r"^[^\s/]+$")] = "0.0.0.0"  # noqa: S104 - clients are on other machines
    """Address that all ports listen on."""
    zmq_port: PortOrOff = 5555
    """Port for Python clients: ZeroMQ with pickle or msgpack (0: the system chooses; off: none)."""
    tcp_port: PortOrOff = 5556
    """Port for BizHawk and other languages: TCP, JSON and image bytes (0: the system chooses; off: none)."""
    web_port: PortOrOff = 5557
    """Port for browsers and openpi's clients: pages and WebSockets (0: the system chooses; off: none)."""
    http_port: PortNumber = 8080
    """Port for /live, /healthz, /readyz and /metrics (0: the system chooses)."""
    live: Literal["off", "local", "all"] = "local"
    """Who may open the HTTP port's page /live, which shows the players' pictures: nobody (off), people at
    this machine (local), or everyone who reaches the port (all)."""
    workers: Annotated[int, Field(gt=0, le=256)] = 1
    """Processes that share the ports; more than one helps on machines with many cores."""
    allow: Annotated[
        Annotated[str, _read_by(_parse_networks)] | None,
        Takes("networks are needed, such as 192.168.1.0/24, with commas between"),
    ] = None
    """Networks whose players may use the gateway, such as 192.168.1.0/24,10.0.0.7; all by default."""
    curve_keys: LocalPath | None = None
    """ZeroMQ port: folder made by `nitrogen-gateway keys`; clients then need one of its keys."""
    pickle: bool = True
    """ZeroMQ port: accept pickle as well as msgpack."""
    tcp_token_file: FileOrNone = None
    """TCP port: file with a token that every client must send first."""
    tcp_tls_cert: FileOrNone = None
    """TCP port: PEM file with a certificate; the port then speaks TLS only."""
    tcp_tls_key: Annotated[FileOrNone, Needs("tcp_tls_cert")] = None
    """TCP port: PEM file with the key of --tcp-tls-cert, if that file does not hold it."""
    web_token_file: FileOrNone = None
    """Web port: file with a token that every WebSocket must send, as a header or as ?token=."""
    web_tls_cert: FileOrNone = None
    """Web port: PEM file with a certificate; the port then speaks TLS only."""
    web_tls_key: Annotated[FileOrNone, Needs("web_tls_cert")] = None
    """Web port: PEM file with the key of --web-tls-cert, if that file does not hold it."""
    web_origins: Annotated[
        Annotated[str, _read_by(_parse_origins)] | None,
        Takes("origins are needed, such as https://play.example.com, with commas between"),
    ] = None
    """Web port: origins of pages that may play, such as https://play.example.com, besides the port's own page
    when it is opened by an address or by a name of the local network."""
    zmq_deadline_s: Seconds = 25.0
    """Seconds after which a request on the ZeroMQ port gets an error reply."""
    tcp_deadline_s: Seconds = 4.0
    """Seconds after which a request on the TCP port gets an error reply."""
    web_deadline_s: Seconds = 25.0
    """Seconds after which a request on the web port gets an error reply."""
    max_message_bytes: Bytes = 64 * 2**20
    """ZeroMQ port: larger messages get an error reply; beyond four times this size the connection is
    closed. Web port: a larger message from an openpi client closes its connection."""
    max_header_bytes: Bytes = 64 * 2**10
    """TCP and web port: longest JSON line."""
    max_header_depth: Count = 16
    """TCP and web port: deepest nesting of a JSON line."""
    max_image_bytes: Bytes = 32 * 2**20
    """TCP port, and pages on the web port: largest image file."""
    max_image_pixels: Annotated[int, Field(ge=65536, le=2**30)] = 2**25
    """Largest image, in pixels; a file that would decode to more is refused before it is decoded."""
    header_timeout_s: Seconds = 5.0
    """Seconds that a header or a handshake (TLS, ZeroMQ) may take."""
    request_timeout_s: Seconds = 10.0
    """Seconds that a request may take to arrive, from its first byte to its last."""
    take_timeout_s: Seconds = 10.0
    """Seconds after which a client that does not read its replies is disconnected."""
    idle_timeout_s: Seconds = 3600.0
    """Seconds without a request after which a connection is closed; ZeroMQ clients reconnect."""
    first_request_timeout_s: Seconds = 120.0
    """ZeroMQ port: seconds without a first request after which a connection is closed."""
    max_clients: Count = 2000
    """Most connections on each of the players' ports, per worker; further ones are refused."""
    max_connections_per_address: Count = 256
    """Most connections from one address on each of the players' ports, per worker; further ones are refused.
    As many clients behind a ZeroMQ broker keep a frame context."""
    max_in_flight: Count = 512
    """Most requests in flight, per worker; the second half is for clients that have no other, and no address
    gets more than half."""
    max_in_flight_per_client: Annotated[int, Field(gt=0, le=10_000)] = 16
    """Most requests in flight for one client; beyond them ZeroMQ clients get an error reply, and the other
    ports stop reading from theirs."""
    max_at_triton_per_client: Annotated[int, Field(gt=0, le=10_000)] = 2
    """Most requests of one client at Triton at once; its others wait, so that it cannot crowd out other
    clients."""
    max_at_triton: Count = 256
    """Most requests for one model at Triton at once, per worker; further ones are refused as busy. At 64
    requests/s, the last of them is answered within the TCP port's 4 s."""
    max_contexts: Count = 10_000
    """ZeroMQ port: most clients whose frame context is kept; beyond it the least recently seen is dropped."""
    context_idle_s: Seconds = 600.0
    """ZeroMQ port: idle seconds after which a client's frame context is dropped."""
    drain_delay_s: Annotated[float, Field(ge=0, le=3600)] = 0.0
    """Seconds for which /readyz says 503 before the ports close, so that a load balancer notices."""
    record: LocalPath | None = None
    """Folder for recordings, as far as the disk keeps up: each predict's image, frame, options and reply, and
    what was pressed, where clients send it."""
    record_max_bytes: Bytes = 10 * 2**30
    """Bytes of all recordings; beyond them the oldest are deleted."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe messages that are logged, to stderr."""
    log_format: Literal["human", "json"] = "human"
    """Format of the log's lines."""

    @cached_property
    def triton_endpoints(self) -> tuple[Endpoint, ...]:
        """Triton's endpoints."""
        return parse_endpoints(self.triton)

    @cached_property
    def networks(self) -> tuple[Network, ...] | None:
        """The networks that may use the clients' ports; None for all."""
        return None if self.allow is None else _parse_networks(self.allow)

    @cached_property
    def origins(self) -> tuple[str, ...]:
        """The origins of pages elsewhere that may use the web port."""
        return () if self.web_origins is None else _parse_origins(self.web_origins)
