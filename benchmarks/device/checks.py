"""Whether the graph engine's answers are right: each the module's own, and each its own client's."""

import torch

from benchmarks.device.requests import batch, request
from export.network.model import NitroGen
from standalone.backends.pytorch.graph_engine.engine import DirectEngine, GraphEngine

# Batches of two clients' requests, one after the other.
_ORDERS = ("A", "A", "A", "A", "A", "B", "B", "B", "B", "B", "AB", "BA", "AAB", "AAAAABBBBB", "ABABABAB", "B")


def differences(
    network: NitroGen, direct: DirectEngine, engine: GraphEngine, largest: int
) -> dict[int, float]:
    """Return how far the engine's x(1) is from the same network's without graphs, where it is not the same.

    Every batch size from one to `largest`. The network gets what the graph runs: the last row is repeated to
    fill the bucket.
    """
    found = {}
    for rows in range(1, largest + 1):
        given = request(network, rows, seed=rows)
        run = engine.run(batch([given]))
        last = {name: tensor[-1:] for name, tensor in given.items()}
        expected = direct.run(batch([given, *[last] * run.padding])).outputs[-1][:rows]
        if not torch.equal(run.outputs[-1], expected):
            found[rows] = (run.outputs[-1] - expected).abs().max().item()
    return found


def strangers_answers(network: NitroGen, direct: DirectEngine, engine: GraphEngine) -> list[str]:
    """Return the batches, of those of two clients' requests, in which an answer is not its client's own."""
    clients = {name: request(network, 1, seed) for name, seed in (("A", 1), ("B", 2))}
    own = {name: direct.run(batch([given])).outputs[-1] for name, given in clients.items()}
    apart = (own["A"] - own["B"]).abs().mean().item()
    fitting = [order for order in _ORDERS if len(order) <= engine.buckets[-1]]
    # All run before any is looked at: an answer that a later batch overwrites shows, too.
    runs = [(order, engine.run(batch([clients[name] for name in order])).outputs[-1]) for order in fitting]
    return [
        order
        for order, answers in runs
        if not all(  # NaN is nobody's
            (answer - own[name]).abs().mean().item() < apart / 4
            for name, answer in zip(order, answers, strict=True)
        )
    ]
