"""Clients' requests, as a backend gets them from Triton: for each input one tensor in the CPU's memory."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from contract.tensors import INPUT_NAMES
from export.formats.self_check import check_inputs
from export.network.model import NitroGen

Request = Mapping[str, Tensor]


def request(network: NitroGen, rows: int, seed: int) -> Request:
    """Return a request of `rows` samples, another one for each seed."""
    return dict(zip(INPUT_NAMES, check_inputs(network, rows, seed), strict=True))


def batch(requests: Sequence[Request]) -> dict[str, list[Tensor]]:
    """Return requests that run together."""
    return {name: [request[name] for request in requests] for name in INPUT_NAMES}
