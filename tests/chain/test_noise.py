"""Noise with a memory, by tick, and rows to fit: what they do to a real model's chunks, on every port."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from nitrogen_client import BadRequestError, ModelClient

from tests.pictures import picture
from tests.stack import JsonClient, Stack


@pytest.fixture
def client(tiny_stack: Stack) -> Iterator[ModelClient]:
    with ModelClient("127.0.0.1", tiny_stack.zmq_port) as made:
        yield made


@pytest.mark.parametrize("noise", [{"memory": 1}, {"tick": 30}], ids=["memory", "tick"])
def test_the_same_noise_and_picture_give_the_same_chunk_until_a_reset(
    client: ModelClient, noise: dict[str, float]
) -> None:
    first, again = (client.predict(picture(1), noise=noise) for _ in range(2))
    fresh = client.predict(picture(1))
    third = client.predict(picture(1), noise=noise)
    client.reset()
    other = client.predict(picture(1), noise=noise)
    for chunk in (again, third):
        np.testing.assert_array_equal(chunk["j_left"], first["j_left"])
    assert not np.array_equal(fresh["j_left"], first["j_left"])
    assert not np.array_equal(other["j_left"], first["j_left"])


def test_the_tcp_port_remembers_noise_as_well(tiny_stack: Stack) -> None:
    frame = picture(1).tobytes()
    with JsonClient(tiny_stack.tcp_port) as json_client:
        header: dict[str, Any] = {"type": "predict", "noise": {"memory": 1}}
        first, again = (json_client.request(header, frame)["pred"] for _ in range(2))
        assert again == first
        with JsonClient(tiny_stack.tcp_port) as other:
            assert other.request(header, frame)["pred"] != first


def test_a_chunk_begins_with_the_rows_that_will_have_been_pressed(
    client: ModelClient, tiny_stack: Stack
) -> None:
    old = client.predict(picture(1))
    previous = {name: part[4:] for name, part in old.items()}
    new = client.predict(picture(2), previous=previous, delay=3)
    for name, part in previous.items():
        np.testing.assert_allclose(new[name][:3], part[:3], atol=1e-6)
        assert not np.allclose(new[name][5:12], part[5:])
    lists = {name: part.tolist() for name, part in previous.items()}
    with JsonClient(tiny_stack.tcp_port) as json_client:
        header = {"type": "predict", "previous": lists, "delay": 3}
        pred = json_client.request(header, picture(2).tobytes())["pred"]
    for name, part in previous.items():
        np.testing.assert_allclose(pred[name][:3], part[:3], atol=6e-4)


def test_more_rows_than_a_chunk_has_are_an_error(client: ModelClient) -> None:
    rows = {"buttons": np.zeros((17, 21)), "j_left": np.zeros((17, 2)), "j_right": np.zeros((17, 2))}
    with pytest.raises(BadRequestError, match="previous has 17 rows, but the model's chunks have 16"):
        client.predict(picture(1), previous=rows)
