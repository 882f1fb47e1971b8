"""The gateway's settings: flags and `NITROGEN_*` environment variables, checked at the start.

A flag wins over its variable, a variable over the default. Code that embeds the gateway builds
`GatewaySettings(...)` itself; `command_line.parse_settings` is for the command line. Secrets are never
values here, only the files that hold them. All that is known of a setting stands here, in its own lines.
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
    """The values that a setting takes, for the sentence about a wrong one, where its limits do not say it."""

    words: str


@dataclass(frozen=True, slots=True)
class Needs:
    """The setting without which another one means nothing."""

    field: str


@dataclass(frozen=True, slots=True)
class ExistingFile:
    """A setting that names a file, which has to be there."""


PortNumber = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=10_000_000, allow_inf_nan=False)]
Bytes = Annotated[int, Field(gt=0, le=2**40)]
Count = Annotated[int, Field(gt=0, le=10_000_000)]

# A Path, from code that embeds the gateway, is taken as it is.
LocalPath = Annotated[
    Path, BeforeValidator(lambda value: local_path(value) if isinstance(value, str) else value)
]
FileOrNone = Annotated[LocalPath | None, ExistingFile()]


def _none_for_off(value: object) -> object:
    return None if str(value).lower() == OFF else value


# None is written as the word "off": nobody listens.
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
    """Return an origin in the form that browsers send; raises ValueError for other texts."""
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
    """Return a validator for a text that `parse` has to be able to read."""

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
    """Triton's gRPC endpoint, HOST:PORT; several, separated by commas, and all addresses of a host name,
    take turns."""
    triton_tls: bool = False
    """Speak TLS to Triton."""
    triton_tls_ca: Annotated[FileOrNone, Needs("triton_tls")] = None
    """PEM file with the authority that Triton's certificate is checked against; by default
    the public ones that gRPC brings."""
    triton_tls_cert: Annotated[FileOrNone, Needs("triton_tls_key")] = None
    """PEM file with the gateway's own certificate, for a Triton that asks for one (mutual TLS)."""
    triton_tls_key: Annotated[FileOrNone, Needs("triton_tls")] = None
    """PEM file with the key of --triton-tls-cert."""
    triton_key_file: FileOrNone = None
    """File with the line NAME=VALUE, the key of a Triton with restricted protocols."""
    triton_shared_memory: bool | None = None
    """Hand frames to a Triton on this host through shared memory; by default where --triton is one address
    of this host and that Triton takes it."""
    otlp_endpoint: Annotated[
        Annotated[str, _read_by(parse_endpoint)] | None,
        Takes("HOST:PORT is needed, such as 127.0.0.1:4317"),
    ] = None
    """OpenTelemetry collector, HOST:PORT of its gRPC service, that is sent a trace of each call to Triton."""
    model: Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^/\s]+$")] = "nitrogen"
    """Model of the requests that name none: its name in Triton's model repository."""
    game: str | None = None
    """Game of the requests that name none: a name or an id of the model's game table."""
    host: Annotated[str, Field(min_length=1, pattern=r"^[^\s/]+$")] = "0.0.0.0"  # noqa: S104 - clients are on other machines
    """Address to listen on, for all ports."""
    zmq_port: PortOrOff = 5555
    """Port for Python clients: ZeroMQ with pickle or msgpack (0: the system chooses; off: none)."""
    tcp_port: PortOrOff = 5556
    """Port for BizHawk and other languages: TCP, JSON and image bytes (0: the system chooses; off: none)."""
    web_port: PortOrOff = 5557
    """Port for browsers and openpi's clients: pages and WebSockets (0: the system chooses; off: none)."""
    http_port: PortNumber = 8080
    """Port for /live, /healthz, /readyz and /metrics (0: the system chooses)."""
    live: Literal["off", "local", "all"] = "local"
    """Who may look at the HTTP port's page /live, which shows the players' pictures: nobody (off), people at
    this machine (local), or everybody who reaches the port (all)."""
    workers: Annotated[int, Field(gt=0, le=256)] = 1
    """Processes that share the ports; more than one pays on machines with many cores."""
    allow: Annotated[
        Annotated[str, _read_by(_parse_networks)] | None,
        Takes("networks are needed, such as 192.168.1.0/24, with commas between"),
    ] = None
    """Networks whose players may use the gateway, such as 192.168.1.0/24,10.0.0.7; all by default."""
    curve_keys: LocalPath | None = None
    """ZeroMQ port: folder made by `nitrogen-gateway keys`; clients then need a key that is in it."""
    pickle: bool = True
    """ZeroMQ port: whether pickles are taken beside msgpack."""
    tcp_token_file: FileOrNone = None
    """TCP port: file with a token that every client has to give first."""
    tcp_tls_cert: FileOrNone = None
    """TCP port: PEM file with a certificate; the port then speaks TLS only."""
    tcp_tls_key: Annotated[FileOrNone, Needs("tcp_tls_cert")] = None
    """TCP port: PEM file with the key of --tcp-tls-cert, if that file does not hold it."""
    web_token_file: FileOrNone = None
    """Web port: file with a token that every WebSocket has to bring, as a header or as ?token=."""
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
    closed. A larger one of an openpi client on the web port ends its connection."""
    max_header_bytes: Bytes = 64 * 2**10
    """TCP and web port: longest JSON line."""
    max_header_depth: Count = 16
    """TCP and web port: deepest nesting of a JSON line."""
    max_image_bytes: Bytes = 32 * 2**20
    """TCP port, and pages on the web port: largest image file."""
    max_image_pixels: Annotated[int, Field(ge=65536, le=2**30)] = 2**25
    """Largest image, in pixels; a file that would decode to more is refused before it is decoded."""
    header_timeout_s: Seconds = 5.0
    """Seconds in which a header that has begun must be complete, and a handshake (TLS, ZeroMQ) too."""
    request_timeout_s: Seconds = 10.0
    """Seconds in which a request that has begun must arrive completely."""
    take_timeout_s: Seconds = 10.0
    """Seconds after which a client that does not take its replies is dropped."""
    idle_timeout_s: Seconds = 3600.0
    """Seconds without a request after which a connection is closed; ZeroMQ clients open another."""
    first_request_timeout_s: Seconds = 120.0
    """ZeroMQ port: seconds without a first request after which a connection is closed."""
    max_clients: Count = 2000
    """Connections on each of the players' ports, and of each worker; further ones are refused."""
    max_connections_per_address: Count = 256
    """Connections from one address on each of the players' ports, and of each worker; further ones are
    refused. As many clients behind a ZeroMQ broker keep a frame context."""
    max_in_flight: Count = 512
    """Requests worked on at once by each worker; the second half is for clients that have no other, and no
    address gets more than half."""
    max_in_flight_per_client: Annotated[int, Field(gt=0, le=10_000)] = 16
    """Requests of one client that are worked on at once; beyond them ZeroMQ clients get an error reply, and
    clients of the other ports are not read."""
    max_at_triton_per_client: Annotated[int, Field(gt=0, le=10_000)] = 2
    """Requests of one client that are at Triton at once; its others wait, so that it cannot crowd out
    other clients."""
    max_at_triton: Count = 256
    """Requests for one model that are at Triton at once, of each worker; further ones are refused as busy. At
    64 requests/s, the last of them has its actions within TCP clients' 4 s."""
    max_contexts: Count = 10_000
    """ZeroMQ port: clients whose frame context is kept; beyond it the least recently seen is dropped."""
    context_idle_s: Seconds = 600.0
    """ZeroMQ port: idle seconds after which a client's frame context is dropped."""
    drain_delay_s: Annotated[float, Field(ge=0, le=3600)] = 0.0
    """Seconds for which /readyz says 503 before the ports close at the end, for a load balancer to notice."""
    record: LocalPath | None = None
    """Folder in which predicts are recorded, as far as the disk keeps up: image, frame, parameters, reply;
    and what was pressed, where clients tell it."""
    record_max_bytes: Bytes = 10 * 2**30
    """Delete the oldest recordings above this size in all."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """How much is logged to stderr."""
    log_format: Literal["human", "json"] = "human"
    """Form of a line of the log."""

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
