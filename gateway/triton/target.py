"""gRPC's target and options: where Triton is, and how its channel behaves.

gRPC itself takes turns between addresses (`round_robin`), notices lost connections, reconnects and repeats
failed calls (`retryPolicy`). It does so among the addresses of one target:

- A single address is the target `dns:///HOST:PORT`.
- Host names, and several endpoints, are a target `ipv4:` or `ipv6:`, which takes addresses only. So `look_up`
  looks up the names regularly, and a new channel is opened when their addresses have changed. gRPC itself
  would do so only after a lost connection, and never notice an additional Triton.

gRPC's client-side health checking is off: Triton has no `grpc.health.v1.Health/Watch`, and gRPC would write
an error to stderr at each connection. Triton opens its gRPC port only once its models are loaded, so being
connected means nearly the same.
"""

import ipaddress
import json
from collections.abc import Mapping, Sequence
from typing import Any

from contract.endpoint import Endpoint
from contract.failure_text import CHANNEL_OPTIONS

Options = tuple[tuple[str, Any], ...]
# The addresses of each endpoint, each with the endpoint's port, in a fixed order.
Addresses = Mapping[Endpoint, tuple[Endpoint, ...]]

# Most attempts for one request; 5 is gRPC's own limit.
_MAX_ATTEMPTS = 5
_MAX_INT32 = 2**31 - 1

# Calls never use wait_for_ready: without Triton they fail at once, and the client gets its error reply.
_OPTIONS: Options = (
    # Requests grow with the model's context (K x 192 KiB); answers are small, and gRPC's 4 MiB is plenty.
    ("grpc.max_send_message_length", -1),
    *CHANNEL_OPTIONS,
    # The gateway finds Triton within half a second of its return; the minimum also bounds one attempt.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 500),
    # For names that could not be looked up yet; gRPC's own pause between look-ups is 30 s.
    ("grpc.dns_min_time_between_resolutions_ms", 500),
    # This notices a silent peer while calls wait for it. It is not more frequent because Triton, by default,
    # takes frequent pings for abuse and closes the connection.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 0),
    # The connection stays open through a night without players.
    ("grpc.client_idle_timeout_ms", _MAX_INT32),
    # Triton is near: do not use a proxy that is meant for the web.
    ("grpc.enable_http_proxy", 0),
    # Do not share a connection with another gateway in this process.
    ("grpc.use_local_subchannel_pool", 1),
)


def is_address(endpoint: Endpoint) -> bool:
    """Return whether an endpoint is an address, which needs no look-up and is only one Triton."""
    try:
        ipaddress.ip_address(endpoint.host)
    except ValueError:
        return False
    return True


def channel_options(endpoints: Sequence[Endpoint], *, with_tls: bool) -> Options:
    """Return the channel's options for these endpoints.

    A single address gets every call once: if gRPC repeated a failed call, it could reach a restarted Triton
    that serves something else. With several Tritons a failed call goes to the next one. Every call may be
    repeated, because none has another effect than its answer; and only the right model answers, because
    requests name their version.
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
                    "maxAttempts": _MAX_ATTEMPTS,
                    "initialBackoff": "0.01s",
                    "maxBackoff": "0.1s",
                    "backoffMultiplier": 2,
                    # NOT_FOUND: during a rollout only some Tritons may have the version.
                    # CANCELLED: a Triton that stops may drop a request that it has begun.
                    "retryableStatusCodes": ["UNAVAILABLE", "NOT_FOUND", "CANCELLED"],
                },
            }
        ]
        # No `retryThrottling`: gRPC's core takes tokens for failures, but does not give them back for
        # successful calls (seen with 1.85), so after some failures it would never repeat a call again.
        # With the default of 256 KiB, requests of two frames or more would get no second attempt.
        options = (("grpc.enable_retries", 1), ("grpc.per_rpc_retry_buffer_size", _MAX_INT32))
    options += (("grpc.service_config", json.dumps(config)),)
    if len(endpoints) > 1 or not is_address(endpoints[0]):
        # The target has addresses, but certificates are for names: all must fit the first endpoint's.
        options += (("grpc.default_authority", str(endpoints[0])),)
        if with_tls:
            options += (("grpc.ssl_target_name_override", endpoints[0].host),)
    return _OPTIONS + options


def target_of(endpoints: Sequence[Endpoint], addresses: Addresses) -> str:
    """Return the channel's target for these endpoints and their addresses."""
    found = {address for endpoint in endpoints for address in addresses[endpoint]}
    if not found or (len(endpoints) == 1 and is_address(endpoints[0])):
        # gRPC's own look-up of a name fails, too, and gives each call the reason.
        return f"dns:///{endpoints[0]}"
    if not any(_is_ipv6(address) for address in found):
        return "ipv4:" + ",".join(sorted(map(str, found)))
    # Both kinds fit into one target as IPv6 addresses.
    return "ipv6:" + ",".join(sorted(str(_as_ipv6(address)) for address in found))


def _is_ipv6(address: Endpoint) -> bool:
    return ":" in address.host


def _as_ipv6(address: Endpoint) -> Endpoint:
    return address if _is_ipv6(address) else Endpoint(f"::ffff:{address.host}", address.port)
