"""The gateway's settings: flags and `NITROGEN_*` environment variables, checked at the start.

A flag wins over its variable, a variable over the default. Code that embeds the gateway builds
`GatewaySettings(...)` itself; `parse_settings` is for the command line.
"""

import os
import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError
from pydantic_settings import BaseSettings, CliApp, SettingsConfigDict, SettingsError

from gateway.errors import StartError

ENV_PREFIX = "NITROGEN_"

Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=10_000_000, allow_inf_nan=False)]
Bytes = Annotated[int, Field(gt=0, le=2**40)]
Count = Annotated[int, Field(gt=0, le=10_000_000)]

# One host name or address, IPv6 in brackets, and a port.
_ENDPOINT = re.compile(r"(\[[0-9a-fA-F:.%]+\]|[^\s:/\[\]]+):([1-9][0-9]{0,4})")


def _endpoint(value: str) -> str:
    found = _ENDPOINT.fullmatch(value)
    if found is None or int(found[2]) > 65535:
        raise ValueError("not HOST:PORT")
    return value


class GatewaySettings(BaseSettings):
    """Protocol gateway between game clients and a NitroGen model in NVIDIA Triton."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=ENV_PREFIX,
        env_ignore_empty=True,
        use_attribute_docstrings=True,
        cli_prog_name="nitrogen-gateway",
        cli_kebab_case=True,
        cli_hide_none_type=True,
        cli_exit_on_error=False,
    )

    triton: Annotated[str, AfterValidator(_endpoint)] = "127.0.0.1:8001"
    """Triton's gRPC endpoint, HOST:PORT."""
    model: Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^/\s]+$")] = "nitrogen"
    """Model of the requests that name none: its name in Triton's model repository."""
    host: Annotated[str, Field(min_length=1, pattern=r"^[^\s/]+$")] = "0.0.0.0"  # noqa: S104 - clients are on other machines
    """Address to listen on, for all three ports."""
    zmq_port: Port = 5555
    """Port for Python clients: ZeroMQ and pickle (0: the system chooses)."""
    tcp_port: Port = 5556
    """Port for BizHawk and other languages: TCP, JSON header and image bytes (0: the system chooses)."""
    http_port: Port = 8080
    """Port for /healthz, /readyz and /metrics (0: the system chooses)."""
    game: str | None = None
    """Game of the requests that name none: a name or an id of the model's game table."""
    zmq_deadline_s: Seconds = 25.0
    """Seconds after which a request on the ZeroMQ port gets an error reply."""
    tcp_deadline_s: Seconds = 4.0
    """Seconds after which a request on the TCP port gets an error reply."""
    max_message_bytes: Bytes = 64 * 2**20
    """ZeroMQ port: larger messages get an error reply; four times larger ones lose their connection."""
    max_header_bytes: Bytes = 64 * 2**10
    """TCP port: longest JSON line."""
    max_image_bytes: Bytes = 32 * 2**20
    """TCP port: largest image file."""
    request_timeout_s: Seconds = 10.0
    """TCP port: seconds in which a request that has begun must arrive completely."""
    tcp_idle_s: Seconds = 3600.0
    """TCP port: seconds without a request after which a connection is closed."""
    max_contexts: Count = 10_000
    """ZeroMQ port: clients whose frame context is kept; beyond it the least recently seen is dropped."""
    context_idle_s: Seconds = 600.0
    """ZeroMQ port: idle seconds after which a client's frame context is dropped."""
    max_in_flight_per_client: Annotated[int, Field(gt=0, le=10_000)] = 16
    """Requests of one client that are worked on at once."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """How much is logged to stderr."""


def parse_settings(arguments: Sequence[str]) -> GatewaySettings:
    """Return the settings of a command line (without the program's name) and the environment.

    Raises:
        StartError: one sentence that names the flag or variable, its value and what is allowed.
        SystemExit: after printing the help that `-h` asks for.
    """
    for word in arguments:
        if word == "" or (word.startswith("--") and word.endswith("=")):
            raise StartError(f"{word or 'an argument'} is empty: give a value, or leave the flag out")
    try:
        return CliApp.run(GatewaySettings, cli_args=list(arguments))
    except ValidationError as error:
        raise StartError(_sentence(error.errors()[0], arguments)) from None
    except SettingsError as error:
        problem = re.sub(r"^error parsing CLI: ", "", str(error))
        raise StartError(f"{problem} (see -h for the flags)") from None


def _sentence(problem: Any, arguments: Sequence[str]) -> str:  # noqa: ANN401 - pydantic's own error record
    """Return the sentence for one of pydantic's errors: where the value came from, and what is allowed."""
    field = str(problem["loc"][0])
    flag = f"--{field.replace('_', '-')}"
    variable = f"{ENV_PREFIX}{field.upper()}"
    from_flag = any(word == flag or word.startswith(f"{flag}=") for word in arguments)
    named = variable if not from_flag and _in_environment(variable) else flag
    return f"{named} is {str(problem['input'])[:100]!r}, but {_allowed(field)}"


def _in_environment(variable: str) -> bool:
    return any(name.upper() == variable for name in os.environ)


def _allowed(field: str) -> str:
    """Return what a field takes, in words made of its type's limits."""
    info = GatewaySettings.model_fields[field]
    if field == "triton":
        return "HOST:PORT is needed, such as 127.0.0.1:8001"
    if field == "log_level":
        return "one of debug, info, warning, error is needed"
    if info.annotation is str or info.annotation == str | None:
        return "a name without blanks and slashes is needed"
    limits = {
        name: getattr(part, name)
        for part in info.metadata
        for name in ("ge", "gt", "le")
        if hasattr(part, name)
    }
    kind = "a whole number" if info.annotation is int else "a number"
    low = f"from {limits['ge']}" if "ge" in limits else f"above {limits['gt']}"
    return f"{kind} {low} up to {limits['le']} is needed"
