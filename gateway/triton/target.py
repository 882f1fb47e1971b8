"""What gRPC is told about where Triton is, and how its channel is to behave.

gRPC itself takes turns between addresses (`round_robin`), notices lost connections, connects again and
repeats failed calls (`retryPolicy`). It does so among the addresses of one target:

- One endpoint is the target `dns:///HOST:PORT`: gRPC looks the name up, again after each lost connection.
- Several endpoints are a target `ipv4:` or `ipv6:`, which takes addresses only. So `resolve` looks the names
  up; whoever holds the channel does it again now and then, and opens a new channel when they have changed.

gRPC's client-side health checking is not asked for: Triton has no `grpc.health.v1.Health/Watch`, and gRPC
would write an error to stderr at each connection. A Triton opens its gRPC port only once its models are
loaded, so being connected says nearly the same.
"""

import asyncio
import ipaddress
import json
import logging
import socket
from collections.abc import Sequence
from typing import Any

logger = logging.getLogger(__name__)

Options = tuple[tuple[str, Any], ...]

# A request goes to one more address than this many that have failed; 5 is gRPC's own limit.
_MOST_ATTEMPTS = 5
_LARGEST = 2**31 - 1

# Calls never use wait_for_ready: without Triton they fail at once, and the client gets its error reply.
_OPTIONS: Options = (
    # Requests grow with the model's context (K x 192 KiB); answers are small, and gRPC's 4 MiB is plenty.
    ("grpc.max_send_message_length", -1),
    # Triton is found again within half a second of its return; the minimum also bounds one attempt.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 500),
    # A container that comes back may have another address; gRPC's own pause between look-ups is 30 s.
    ("grpc.dns_min_time_between_resolutions_ms", 500),
    # A peer that has fallen silent is noticed while calls wait for it. Not more often, for Triton's default
    # policy takes frequent pings for abuse and closes the connection.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 0),
    # The connection stays open through a night without players.
    ("grpc.client_idle_timeout_ms", _LARGEST),
    # Triton is a neighbour: a proxy meant for the web is not the way to it.
    ("grpc.enable_http_proxy", 0),
    # A connection of its own, also beside another gateway in this process.
    ("grpc.use_local_subchannel_pool", 1),
)


def is_address(endpoint: str) -> bool:
    """Return whether an endpoint HOST:PORT names an address, which needs no look-up and is but one Triton."""
    try:
        ipaddress.ip_address(_host(endpoint))
    except ValueError:
        return False
    return True


def channel_options(endpoints: Sequence[str], *, with_tls: bool) -> Options:
    """Return the channel's options for these endpoints, each HOST:PORT.

    A single address gets every call once: a call that failed could, repeated in silence, reach a restarted
    Triton that serves something else. With several Tritons a call that fails goes to the next one. Every
    call of the gateway may be repeated, for none has an effect but its answer; and the answer is that of the
    model it was made for, because requests name the version that they mean.
    """
    config: dict[str, Any] = {"loadBalancingConfig": [{"round_robin": {}}]}
    options: Options
    if len(endpoints) == 1 and is_address(endpoints[0]):
        options = (("grpc.enable_retries", 0),)
    else:
        config["methodConfig"] = [
            {
                "name": [{}],
                "retryPolicy": {
                    "maxAttempts": _MOST_ATTEMPTS,
                    "initialBackoff": "0.01s",
                    "maxBackoff": "0.1s",
                    "backoffMultiplier": 2,
                    # NOT_FOUND: during a rollout one Triton may have the version that another has not yet.
                    "retryableStatusCodes": ["UNAVAILABLE", "NOT_FOUND"],
                },
            }
        ]
        # No `retryThrottling`: gRPC's core takes tokens for failures, but gives none back for the success of
        # calls with an answer (seen with 1.85), so after some failures nothing would ever be repeated again.
        # The default of 256 KiB would leave requests of two frames and more without a second attempt.
        options = (("grpc.enable_retries", 1), ("grpc.per_rpc_retry_buffer_size", _LARGEST))
    options += (("grpc.service_config", json.dumps(config)),)
    if len(endpoints) > 1:
        # The target is addresses; certificates are for names. All have to be valid for the first endpoint's.
        options += (("grpc.default_authority", endpoints[0]),)
        if with_tls:
            options += (("grpc.ssl_target_name_override", _host(endpoints[0])),)
    return _OPTIONS + options


async def resolve(endpoints: Sequence[str], known: str = "") -> str:
    """Return the channel's target for these endpoints.

    `known`: the target until now, which is returned again when one of the names cannot be looked up.
    """
    if len(endpoints) == 1:
        return f"dns:///{endpoints[0]}"
    loop = asyncio.get_running_loop()
    addresses: set[tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, int]] = set()
    for endpoint in endpoints:
        port = int(endpoint.rpartition(":")[2])
        try:
            found = await loop.getaddrinfo(_host(endpoint), port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            logger.warning("%s of --triton cannot be looked up: %s", endpoint, error)
            if known:
                return known
            continue
        addresses |= {(ipaddress.ip_address(entry[4][0]), port) for entry in found}
    if not addresses:
        # gRPC's own look-up fails as well, and tells each call why.
        return f"dns:///{endpoints[0]}"
    if all(address.version == 4 for address, _ in addresses):
        return "ipv4:" + ",".join(sorted(f"{address}:{port}" for address, port in addresses))
    # Both kinds fit into one target as IPv6 addresses.
    return "ipv6:" + ",".join(sorted(f"[{_as_ipv6(address)}]:{port}" for address, port in addresses))


def _as_ipv6(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    return f"::ffff:{address}" if address.version == 4 else str(address)


def _host(endpoint: str) -> str:
    return endpoint.rpartition(":")[0].strip("[]")
