"""Many clients at once: batches form, and each client gets its own answer."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import PIL.Image
import pytest

from tests.chain.direct import DirectCalls, Outputs
from tests.chain.replies import TOLERANCE, assert_close
from tests.noise import seeded_noise
from tests.patience import WITHIN_S
from tests.pictures import image_file, picture
from tests.stack import JsonClient, PickleClient, Stack, wait_until
from tests.stand_ins.bizhawk_agent import BizHawkAgent

CLIENTS, ROUNDS = 8, 6

Played = list[dict[str, object]]


def at_once(players: list[Callable[[], Played]]) -> list[Played]:
    """Run all in threads of their own, none before all are there; what they return."""
    barrier = threading.Barrier(len(players))

    def play(player: Callable[[], Played]) -> Played:
        barrier.wait(WITHIN_S)
        return player()

    with ThreadPoolExecutor(len(players)) as pool:
        return list(pool.map(play, players))


def zmq_player(stack: Stack, number: int) -> Callable[[], Played]:
    """A player of port 5555: its own pictures, its own seeds, one request after the other."""

    def play() -> Played:
        with PickleClient(stack.zmq_port) as client:
            return [
                client.request(type="predict", image=picture(number + turn), seed=100 * number + turn)
                for turn in range(ROUNDS)
            ]

    return play


def tcp_player(stack: Stack, number: int) -> Callable[[], Played]:
    """The same on port 5556."""

    def play() -> Played:
        with JsonClient(stack.tcp_port) as client:
            return [
                client.request(
                    {"type": "predict", "seed": 100 * number + turn}, picture(number + turn).tobytes()
                )
                for turn in range(ROUNDS)
            ]

    return play


def alone(calls: DirectCalls, number: int, horizon: int, context: int) -> list[Outputs]:
    """Return what the player of this number gets when nobody else plays."""
    frames = [picture(number + turn) for turn in range(ROUNDS)]
    return [
        calls.predict(
            frames[: turn + 1][-context:], seeded_noise(100 * number + turn, horizon), context=context
        )
        for turn in range(ROUNDS)
    ]


def test_each_of_eight_clients_gets_its_own_answers(tiny_stack: Stack, tiny_calls: DirectCalls) -> None:
    expected = [alone(tiny_calls, number, 16, 1) for number in range(CLIENTS)]
    ports = ["zmq" if number % 2 else "tcp" for number in range(CLIENTS)]
    makers = {"zmq": zmq_player, "tcp": tcp_player}
    played = at_once([makers[port](tiny_stack, number) for number, port in enumerate(ports)])
    for port, replies, answers in zip(ports, played, expected, strict=True):
        for reply, answer in zip(replies, answers, strict=True):
            assert_close(reply, answer, TOLERANCE[port])


def test_requests_of_eight_clients_run_in_batches(tiny_stack: Stack, tiny_calls: DirectCalls) -> None:
    requests_before, executions_before = tiny_calls.inference_counts()
    at_once([zmq_player(tiny_stack, number) for number in range(CLIENTS)])
    # Requests that players of earlier tests left behind may be counted, too.
    sent = CLIENTS * ROUNDS
    wait_until(lambda: tiny_calls.inference_counts()[0] >= requests_before + sent, "all are counted")
    assert tiny_calls.inference_counts()[1] - executions_before < sent


@pytest.mark.parametrize("ports", [("zmq", "zmq"), ("tcp", "tcp"), ("zmq", "tcp")])
def test_players_of_a_context_model_do_not_disturb_each_other(
    context_stack: Stack, context_calls: DirectCalls, ports: tuple[str, str]
) -> None:
    expected = [alone(context_calls, number, 18, 3) for number in (10, 20)]
    makers = {"zmq": zmq_player, "tcp": tcp_player}
    played = at_once(
        [makers[port](context_stack, number) for port, number in zip(ports, (10, 20), strict=True)]
    )
    for port, replies, answers in zip(ports, played, expected, strict=True):
        for reply, answer in zip(replies, answers, strict=True):
            assert_close(reply, answer, TOLERANCE[port])


def test_official_client_and_bizhawk_agent_play_at_once(context_stack: Stack) -> None:
    def official() -> Played:
        with PickleClient(context_stack.zmq_port) as client:
            client.request(type="reset")
            image = PIL.Image.fromarray(picture(1))
            return [client.request(type="predict", image=image) for _ in range(ROUNDS)]

    def bizhawk() -> Played:
        png = image_file(picture(2, 240, 256))
        with BizHawkAgent(context_stack.tcp_port) as agent:
            chunks = [agent.screenshot(png, "crop") for _ in range(ROUNDS)]
        return [{"buttons": buttons, "j_left": j_left} for buttons, j_left in chunks]

    official_replies, bizhawk_chunks = at_once([official, bizhawk])
    assert {np.shape(reply["pred"]["buttons"]) for reply in official_replies} == {(18, 21)}  # type: ignore[index]
    assert {np.shape(chunk["buttons"]) for chunk in bizhawk_chunks} == {(18, 21)}
    assert {np.shape(chunk["j_left"]) for chunk in bizhawk_chunks} == {(18, 2)}
