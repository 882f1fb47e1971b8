"""Versions of a model are swapped while eight clients play: no request is lost, no answer is mixed.

One of them was exported before chunk conditioning.
"""

import itertools
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from contract.tensors import OUTPUT_NAMES
from export.repository.live import activate
from tests.chain.direct import Outputs, no_previous
from tests.chain.match import CLIENTS, SEEDS, Match, Played
from tests.chain.replies import TOLERANCE
from tests.chain.served_models import Repository, Served, running_triton
from tests.export.exported_before import make_exported_before
from tests.export.golden_networks import golden_network
from tests.gateways import GatewayProcess, gateway_process
from tests.noise import seeded_noise
from tests.pictures import Picture, picture
from tests.stack import PickleClient

pytestmark = pytest.mark.slow

# The order in which versions are activated, after 1.
SWAPS = (2, 3, 1)


PREVIOUS = {
    "buttons": np.eye(3, 21, dtype=np.float32),
    "j_left": np.full((3, 2), -0.5, np.float32),
    "j_right": np.ones((3, 2), np.float32),
}


@dataclass(frozen=True)
class Version:
    """A version: what it is exported from, and what its facts say."""

    checkpoint: str
    steps: int
    horizon: int
    context: int
    games: int
    conditioning: bool = True


VERSIONS = {
    1: Version("tiny", 2, 16, 1, 0),
    2: Version("tiny", 1, 16, 1, 0, conditioning=False),
    3: Version("tiny-ctx", 1, 18, 3, 5),
}


@dataclass
class Activation:
    """When a version's load was asked for and had ended, and what was seen right after."""

    version: int
    asked: float
    done: float
    info: dict[str, Any] = field(default_factory=dict)
    game: dict[str, Any] = field(default_factory=dict)
    fitted: dict[str, Any] = field(default_factory=dict)


@dataclass
class Record:
    """All that was seen; `expected`: by version, client and seed, one answer for each number of frames."""

    expected: dict[tuple[int, int, int], list[Outputs]]
    played: list[Played]
    activations: list[Activation]


def expected_answers(repository: Repository) -> dict[tuple[int, int, int], list[Outputs]]:
    """Every answer that a client may get, from the graphs themselves, without Triton."""
    expected = {}
    for number, version in VERSIONS.items():
        graph = torch.jit.load(str(repository.folder / "nitrogen" / str(number) / "model.pt")).eval()
        for client, seed in itertools.product(range(CLIENTS), range(SEEDS)):
            noise = seeded_noise(seed, version.horizon)
            expected[number, client, seed] = [
                graph_answer(graph, [picture(client)] * count, noise, version)
                for count in range(1, version.context + 1)
            ]
    return expected


def graph_answer(
    graph: torch.jit.ScriptModule, frames: list[Picture], noise: NDArray[np.float32], version: Version
) -> Outputs:
    """Return what an exported graph answers to frames (256, 256, 3), newest last, and noise (H, 25)."""
    slots = np.zeros((1, version.context, 256, 256, 3), np.uint8)
    slots[0, version.context - len(frames) :] = np.stack(frames)
    with torch.inference_mode(), torch.jit.optimized_execution(False):
        outputs = graph(
            torch.from_numpy(slots),
            torch.tensor([[len(frames)]]),
            torch.tensor([[0]]),
            torch.tensor(noise)[None],
            *(map(torch.from_numpy, no_previous(1, len(noise)).values()) if version.conditioning else ()),
        )
    return {name: tensor[0].numpy() for name, tensor in zip(OUTPUT_NAMES, outputs, strict=True)}


def switch_to(repository: Repository, served: Served, gateway: GatewayProcess, number: int) -> Activation:
    """Publish a version if need be, make Triton serve it, and look at it through the gateway at once."""
    version = VERSIONS[number]
    if not (repository.folder / "nitrogen" / str(number)).exists():
        exported = repository.export(version.checkpoint, "nitrogen", version.steps)
        if not version.conditioning:
            make_exported_before(exported, golden_network(version.checkpoint, steps=version.steps))
    asked = time.monotonic()
    activate(repository.folder, "nitrogen", number, served.endpoint)
    activation = Activation(number, asked, time.monotonic())
    with PickleClient(gateway.zmq) as client:
        activation.game = client.request(type="predict", image=picture(0), game=1)
        activation.fitted = client.request(type="predict", image=picture(0), previous=PREVIOUS, delay=1)
        activation.info = client.request(type="info")["info"]
    return activation


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Record:
    folder = tmp_path_factory.mktemp("swaps")
    repository = Repository(folder / "repository")
    repository.export(VERSIONS[1].checkpoint, "nitrogen", VERSIONS[1].steps)
    (folder / "triton").mkdir()
    with (
        running_triton(repository, ["nitrogen"], folder / "triton") as served,
        gateway_process(served.endpoint) as gateway,
    ):
        match = Match(gateway)
        activations = []
        try:
            match.wait_for(3)
            for number in SWAPS:
                activations.append(switch_to(repository, served, gateway, number))
                match.wait_for(VERSIONS[number].context + 3)
        finally:
            played = match.finish()
    return Record(expected_answers(repository), played, activations)


def is_answer(played: Played, answer: Outputs) -> bool:
    """Whether a reply is this answer; the last bits may decide a button whose value is next to 0.5."""
    tolerance = TOLERANCE[played.port]
    pred = {name: np.asarray(values) for name, values in played.reply["pred"].items()}
    if any(pred[name].shape != answer[name].shape for name in pred):
        return False
    undecided = np.abs(answer["actions"][:, :-4] - 0.5) < tolerance
    return bool(
        all(np.allclose(pred[name], answer[name], rtol=0, atol=tolerance) for name in ("j_left", "j_right"))
        and ((pred["buttons"] == answer["buttons"]) | undecided).all()
    )


def sources_of(record: Record, played: Played) -> list[tuple[int, int]]:
    """Version and number of frames of each expected answer that a reply is."""
    return [
        (version, count)
        for version in VERSIONS
        for count, answer in enumerate(record.expected[version, played.client, played.seed], 1)
        if is_answer(played, answer)
    ]


def test_no_request_is_lost(record: Record) -> None:
    assert [played.reply for played in record.played if played.reply["status"] != "ok"] == []


def test_every_reply_is_the_answer_of_exactly_one_version(record: Record) -> None:
    strange = [played for played in record.played if len(sources_of(record, played)) != 1]
    assert strange == []


def test_each_reply_is_of_the_version_that_triton_served(record: Record) -> None:
    """Only a request that was on its way during the load may be answered by either version."""
    served = [1, *SWAPS]
    begun = [0.0, *(activation.done for activation in record.activations)]
    asked = [*(activation.asked for activation in record.activations), float("inf")]
    for played in record.played:
        possible = {
            version
            for version, since, until in zip(
                served, [0.0, *asked[:-1]], [*begun[1:], float("inf")], strict=True
            )
            if played.came >= since and played.sent <= until
        }
        ((version, _),) = sources_of(record, played)
        assert version in possible
    for version, since, until in zip(served, begun, asked, strict=True):
        between = [played for played in record.played if since <= played.sent and played.came <= until]
        assert {played.client for played in between} == set(range(CLIENTS))
        assert {source for played in between for source, _ in sources_of(record, played)} == {version}


def test_new_facts_are_noticed_at_once(record: Record) -> None:
    for activation in record.activations:
        version, info = VERSIONS[activation.version], activation.info
        assert info["version"] == activation.version
        assert (info["horizon"], info["context_length"]) == (version.horizon, version.context)
        assert (info["inference_steps"], max(0, len(info["games"]) - 1)) == (version.steps, version.games)
        assert activation.game["status"] == ("ok" if version.games else "error")


def test_a_previous_chunk_is_carried_on_where_the_version_takes_one(record: Record) -> None:
    for activation in record.activations:
        takes_one = VERSIONS[activation.version].conditioning
        assert activation.info["conditioning"] is takes_one
        if takes_one:
            pressed = {name: rows[0].tolist() for name, rows in activation.fitted["pred"].items()}
            assert pressed == {name: rows[0].tolist() for name, rows in PREVIOUS.items()}
        else:
            assert "exported without chunk conditioning: export it again" in activation.fitted["message"]


def test_a_context_grows_to_the_length_of_the_new_version(record: Record) -> None:
    for client in range(CLIENTS):
        of_client = [sources_of(record, played)[0] for played in record.played if played.client == client]
        counts = [count for version, count in of_client if version == 3]
        assert counts == sorted(counts)
        assert counts[-1] == VERSIONS[3].context
