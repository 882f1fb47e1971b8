"""Several models in one Triton: each request is answered by the one that it names, on both ports."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from tests.chain.direct import Outputs
from tests.chain.replies import assert_close, assert_same_bits, assert_same_decimals
from tests.chain.served_models import Repository, Served, running_triton
from tests.gateways import GatewayProcess, gateway_process
from tests.noise import seeded_noise
from tests.pages import page
from tests.pictures import picture
from tests.stack import JsonClient, PickleClient

pytestmark = pytest.mark.slow

PORTS = ["zmq", "tcp"]
# The default model sees three frames, and has games; the fast one sees one, and has none.
HORIZON = {"nitrogen": 18, "nitrogen-fast": 16}
CONTEXT = {"nitrogen": 3, "nitrogen-fast": 1}
SAME = {"zmq": assert_same_bits, "tcp": assert_same_decimals}

Ask = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    repository = Repository(tmp_path_factory.mktemp("repository"))
    repository.export("tiny-ctx", "nitrogen", steps=2)
    repository.export("tiny", "nitrogen-fast", steps=1)
    return repository


@pytest.fixture(scope="module")
def served(repository: Repository, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("triton")
    with running_triton(repository, ["nitrogen", "nitrogen-fast"], folder) as served:
        yield served


@pytest.fixture(scope="module")
def gateway(served: Served) -> Iterator[GatewayProcess]:
    with gateway_process(served.endpoint) as gateway:
        yield gateway


@contextmanager
def client_of(gateway: GatewayProcess, port: str) -> Iterator[Ask]:
    """A client of either port: `ask(type, number, **options)`, with the picture of a number for predict."""
    if port == "zmq":
        with PickleClient(gateway.zmq) as pickles:

            def ask(type_: str, number: int = 0, **options: object) -> dict[str, Any]:
                image = {"image": picture(number)} if type_ == "predict" else {}
                return pickles.request(type=type_, **image, **options)

            yield ask
    else:
        with JsonClient(gateway.tcp) as lines:

            def ask_line(type_: str, number: int = 0, **options: object) -> dict[str, Any]:
                image = picture(number).tobytes() if type_ == "predict" else b""
                return lines.request({"type": type_, **options}, image)

            yield ask_line


def answer(served: Served, model: str, numbers: list[int], seed: int, game_id: int = 0) -> Outputs:
    """Return what a model answers to the pictures of some numbers, newest last."""
    frames, noise = [picture(number) for number in numbers], seeded_noise(seed, HORIZON[model])
    return served.answer(model, frames, noise, context=CONTEXT[model], game_id=game_id)


@pytest.mark.parametrize("port", PORTS)
@pytest.mark.parametrize(
    ("options", "model"),
    [
        ({}, "nitrogen"),
        ({"model": None}, "nitrogen"),
        ({"model": "nitrogen"}, "nitrogen"),
        ({"model": "nitrogen-fast"}, "nitrogen-fast"),
    ],
)
def test_a_request_is_answered_by_the_model_that_it_names(
    served: Served, gateway: GatewayProcess, port: str, options: dict[str, Any], model: str
) -> None:
    with client_of(gateway, port) as ask:
        SAME[port](ask("predict", 1, seed=7, **options), answer(served, model, [1], 7))


@pytest.mark.parametrize("port", PORTS)
def test_each_switch_begins_a_fresh_context(served: Served, gateway: GatewayProcess, port: str) -> None:
    turns: list[tuple[dict[str, str], str, list[int]]] = [
        ({}, "nitrogen", [0]),
        ({"model": "nitrogen"}, "nitrogen", [0, 1]),  # the default by its name does not switch
        ({"model": "nitrogen-fast"}, "nitrogen-fast", [2]),
        ({"model": "nitrogen"}, "nitrogen", [3]),
        ({}, "nitrogen", [3, 4]),
        ({"model": "made up"}, "", []),  # a switch too, if to nowhere
        ({}, "nitrogen", [6]),
    ]
    with client_of(gateway, port) as ask:
        for number, (options, model, seen) in enumerate(turns):
            reply = ask("predict", number, seed=number, **options)
            if model:
                SAME[port](reply, answer(served, model, seen, number))
            else:
                assert reply["status"] == "error"


@pytest.mark.parametrize("port", PORTS)
@pytest.mark.parametrize("type_", ["predict", "info"])
def test_an_unknown_model_is_an_error_that_lists_the_models(
    gateway: GatewayProcess, port: str, type_: str
) -> None:
    with client_of(gateway, port) as ask:
        reply = ask(type_, model="nitrogen-slow")
        assert reply["status"] == "error"
        assert "'nitrogen-slow' is unknown" in reply["message"]
        assert "nitrogen, nitrogen-fast" in reply["message"]
        assert ask("predict")["status"] == "ok"


@pytest.mark.parametrize("port", PORTS)
def test_a_model_that_is_not_text_is_an_error(gateway: GatewayProcess, port: str) -> None:
    with client_of(gateway, port) as ask:
        assert "model must be a name" in ask("predict", model=1)["message"]
        assert ask("predict")["status"] == "ok"


@pytest.mark.parametrize("port", PORTS)
def test_info_tells_of_the_model_that_it_names(gateway: GatewayProcess, port: str) -> None:
    with client_of(gateway, port) as ask:
        told = {model: ask("info", model=model)["info"] for model in (None, "nitrogen", "nitrogen-fast")}
    assert told[None] == told["nitrogen"]
    for model in ("nitrogen", "nitrogen-fast"):
        assert told[model]["model"] == model
        assert (told[model]["horizon"], told[model]["context_length"]) == (HORIZON[model], CONTEXT[model])
        assert {"nitrogen", "nitrogen-fast"} <= set(told[model]["models"])
        assert told[model]["models"] == sorted(told[model]["models"])
    assert (told["nitrogen"]["inference_steps"], told["nitrogen-fast"]["inference_steps"]) == (2, 1)


@pytest.mark.parametrize("port", PORTS)
def test_a_game_is_looked_up_in_the_table_of_its_model(
    served: Served, gateway: GatewayProcess, port: str
) -> None:
    with client_of(gateway, port) as ask:
        game = ask("info")["info"]["games"][2]
        SAME[port](ask("predict", 1, seed=1, game=game), answer(served, "nitrogen", [1], 1, game_id=2))
        assert "has no games" in ask("predict", model="nitrogen-fast", game=game)["message"]


def test_clients_of_both_models_play_at_once(served: Served, gateway: GatewayProcess) -> None:
    models, rounds = ["nitrogen", "nitrogen-fast"], 6

    def play(number: int) -> list[dict[str, Any]]:
        with client_of(gateway, PORTS[number // 2 % 2]) as ask:
            model = models[number % 2]
            return [ask("predict", number + turn, seed=turn, model=model) for turn in range(rounds)]

    with ThreadPoolExecutor(8) as pool:
        played = list(pool.map(play, range(8)))
    for number, replies in enumerate(played):
        model = models[number % 2]
        for turn, reply in enumerate(replies):
            seen = list(range(number, number + turn + 1))[-CONTEXT[model] :]
            assert_close(reply, answer(served, model, seen, turn), 1e-4 + 0.0005)


def test_a_model_that_was_loaded_a_moment_ago_is_found(
    served: Served, gateway: GatewayProcess, repository: Repository
) -> None:
    repository.export("tiny", "nitrogen-late", steps=2)
    served.load("nitrogen-late")
    for port in PORTS:
        with client_of(gateway, port) as ask:
            assert ask("predict", model="nitrogen-late")["status"] == "ok"
            assert "nitrogen-late" in ask("info")["info"]["models"]


def test_predicts_are_counted_by_model_and_made_up_names_as_one(gateway: GatewayProcess) -> None:
    with client_of(gateway, "tcp") as ask:
        ask("predict", model="nitrogen-fast")
        for number in range(3):
            ask("predict", model=f"made up {number}")
    _, text = page(gateway.http, "/metrics")
    assert 'nitrogen_gateway_model_predicts_total{model="nitrogen-fast",outcome="ok",version="1"}' in text
    assert 'nitrogen_gateway_model_predicts_total{model="unknown",outcome="bad_request",version=""}' in text
    assert "made up" not in text


def test_the_default_game_is_one_of_the_default_model(served: Served) -> None:
    with gateway_process(served.endpoint, "--game=2") as gateway, client_of(gateway, "zmq") as ask:
        assert_same_bits(ask("predict", 1, seed=1), answer(served, "nitrogen", [1], 1, game_id=2))
        assert_same_bits(
            ask("predict", 1, seed=1, model="nitrogen-fast"), answer(served, "nitrogen-fast", [1], 1)
        )
        games = ask("info")["info"]["games"]
        assert ask("info")["info"]["selected_game"] == games[2]
        assert ask("info", model="nitrogen-fast")["info"]["selected_game"] is None


def test_readiness_is_that_of_the_default_model(served: Served) -> None:
    with (
        gateway_process(served.endpoint, "--model=nitrogen-missing") as gateway,
        client_of(gateway, "zmq") as ask,
    ):
        assert ask("predict", model="nitrogen-fast")["status"] == "ok"
        assert "does not serve the model 'nitrogen-missing'" in ask("predict")["message"]
        status, reason = page(gateway.http, "/readyz")
        assert status == 503
        assert "nitrogen-missing" in reason
