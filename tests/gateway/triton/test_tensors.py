"""The requests that are written by hand are what protobuf would have written."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2

from contract.tensors import FRAME_BYTES, FRAME_SHAPE
from gateway.errors import ModelError
from gateway.protocol.conditioning import Conditioning
from gateway.protocol.messages import Frame
from gateway.triton.facts import ModelFacts
from gateway.triton.tensors import ModelInputs, RequestTemplate, ResponseReader


def facts(
    horizon: int,
    context_length: int,
    version: int | None,
    model: str = "nitrogen",
    *,
    conditioning: bool = False,
) -> ModelFacts:
    return ModelFacts(
        model=model,
        version=version,
        checkpoint_path="ng.pt",
        checkpoint_sha256="",
        horizon=horizon,
        context_length=context_length,
        games=(),
        old_layout=False,
        action_interleaving=False,
        inference_steps=1,
        cfg_scale=1.0,
        conditioning=conditioning,
    )


def ordinary(
    facts: ModelFacts,
    frames: list[bytes],
    game_id: int,
    noise: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
    conditioning: Conditioning | None,
    request_id: str,
    timeout_us: int,
) -> service_pb2.ModelInferRequest:
    """The request as protobuf's own classes build it."""
    request = service_pb2.ModelInferRequest(
        model_name=facts.model, model_version="" if facts.version is None else str(facts.version)
    )
    request.id = request_id
    if timeout_us:
        request.parameters["timeout"].int64_param = timeout_us
    unused = bytes(FRAME_BYTES) * (facts.context_length - len(frames))
    shapes = ((1, facts.horizon, 25), (1, facts.horizon))
    given = (
        [bytes(4 * math.prod(shape)) for shape in shapes]
        if conditioning is None
        else [conditioning.previous.tobytes(), conditioning.weight.tobytes()]
    )
    previous = zip(("previous", "previous_weight"), ("FP32", "FP32"), shapes, given, strict=True)
    for name, datatype, shape, data in (
        ("frames", "UINT8", (1, facts.context_length, *FRAME_SHAPE), unused + b"".join(frames)),
        ("frame_count", "INT64", (1, 1), np.int64(len(frames)).tobytes()),
        ("game_id", "INT64", (1, 1), np.int64(game_id).tobytes()),
        ("noise", "FP32", (1, *noise.shape), noise.tobytes()),
        *(previous if facts.conditioning else ()),
    ):
        request.inputs.add(name=name, datatype=datatype, shape=shape)
        request.raw_input_contents.append(data)
    for name in ("j_left", "j_right", "buttons", "actions"):
        request.outputs.add(name=name)
    return request


@settings(max_examples=40)
@given(
    horizon=st.integers(1, 200),
    context_length=st.integers(1, 3),
    count=st.integers(1, 3),
    version=st.none() | st.integers(1, 2**40),
    model=st.text(st.characters(codec="utf-8"), min_size=1, max_size=200),
    game_id=st.integers(0, 2**63 - 1),
    request_id=st.text(st.characters(codec="utf-8"), max_size=300),
    timeout_us=st.integers(0, 2**63 - 1),
    seed=st.integers(0, 2**32),
    conditioning=st.sampled_from(["not taken", "not sent", "sent"]),
)
def test_a_request_is_the_one_that_protobuf_builds(
    horizon: int,
    context_length: int,
    count: int,
    version: int | None,
    model: str,
    game_id: int,
    request_id: str,
    timeout_us: int,
    seed: int,
    conditioning: str,
) -> None:
    about = facts(horizon, context_length, version, model, conditioning=conditioning != "not taken")
    random = np.random.default_rng(seed)
    frames = [random.bytes(FRAME_BYTES) for _ in range(min(count, context_length))]
    noise = random.standard_normal((horizon, 25), dtype=np.float32)
    sent = None
    if conditioning == "sent":
        sent = Conditioning(random.random((horizon, 25), np.float32), random.random(horizon, np.float32))
    message = RequestTemplate(about).message(
        ModelInputs(frames, game_id, noise, sent), request_id=request_id, timeout_us=timeout_us
    )
    parsed = service_pb2.ModelInferRequest.FromString(message)
    assert parsed == ordinary(about, frames, game_id, noise, sent, request_id, timeout_us)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_frames_are_any_kind_of_bytes(kind: type[Frame]) -> None:
    frame, noise = np.random.default_rng(0).bytes(FRAME_BYTES), np.zeros((18, 25), np.float32)
    template = RequestTemplate(facts(18, 2, 1))
    expected = template.message(ModelInputs([frame], 0, noise))
    assert template.message(ModelInputs([kind(frame)], 0, noise)) == expected


WIDTHS = {"j_left": 2, "j_right": 2, "buttons": 21, "actions": 25}


def response(
    shapes: dict[str, tuple[int, ...]], number: float, datatype: str = "FP32"
) -> service_pb2.ModelInferResponse:
    """A response with outputs of some shapes, in their order; the values count up from a number."""
    made = service_pb2.ModelInferResponse(model_name="nitrogen")
    for name, shape in shapes.items():
        made.outputs.add(name=name, datatype=datatype, shape=shape)
        made.raw_output_contents.append((np.arange(np.prod(shape)) + number).astype("<f4").tobytes())
    return service_pb2.ModelInferResponse.FromString(made.SerializeToString())


def shapes(horizon: int, *names: str) -> dict[str, tuple[int, ...]]:
    return {name: (1, horizon, WIDTHS.get(name, 3)) for name in names or WIDTHS}


def values(horizon: int, width: int, number: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return (np.arange(horizon * width) + number).astype(np.float32).reshape(horizon, width)


@pytest.mark.parametrize(
    "names",
    [
        ("j_left", "j_right", "buttons", "actions"),
        ("actions", "buttons", "j_right", "j_left"),
        ("more", "j_left", "actions", "j_right", "buttons"),
    ],
)
def test_outputs_come_in_any_order_and_change_it(names: tuple[str, ...]) -> None:
    reader = ResponseReader(facts(18, 1, 1))
    for order in (names, names, tuple(WIDTHS), names):
        chunk = reader.chunk(response(shapes(18, *order), number=len(order)))
        assert np.array_equal(chunk.j_left, values(18, 2, len(order)))
        assert np.array_equal(chunk.j_right, values(18, 2, len(order)))
        assert np.array_equal(chunk.buttons, values(18, 21, len(order)))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (response(shapes(18, "j_left", "j_right", "buttons"), 0), "actions is missing or not FP32, but"),
        (response(shapes(17), 0), r"j_left is \(1, 17, 2\), but \(1, 18, 2\) is needed"),
        (response(shapes(18) | {"buttons": (18, 21)}, 0), r"buttons is \(18, 21\), but \(1, 18, 21\)"),
        (response(shapes(18), 0, datatype="FP16"), "j_left is missing or not FP32"),
        (service_pb2.ModelInferResponse(), "j_left is missing"),
        (
            service_pb2.ModelInferResponse(
                outputs=response(shapes(18), 0).outputs,
                raw_output_contents=[b"1234", *response(shapes(18), 0).raw_output_contents[1:]],
            ),
            "j_left is missing",
        ),
        (response(shapes(18), np.nan), "j_left holds values that are not finite"),
        (
            service_pb2.ModelInferResponse(
                outputs=response(shapes(18), 0).outputs,
                raw_output_contents=[
                    *response(shapes(18), 0).raw_output_contents[:3],
                    response(shapes(18), -np.inf).raw_output_contents[3],
                ],
            ),
            "actions holds values that are not finite",
        ),
    ],
)
def test_a_response_that_does_not_fit_is_refused_whatever_came_before(
    wrong: service_pb2.ModelInferResponse, said: str
) -> None:
    reader = ResponseReader(facts(18, 1, 1))
    for _ in range(2):
        with pytest.raises(ModelError, match=said):
            reader.chunk(wrong)
        assert np.array_equal(reader.chunk(response(shapes(18), 5)).j_left, values(18, 2, 5))


@pytest.mark.parametrize("value", [3e38, -3e38, 2.0**127, -(2.0**127), 1e-45, -0.0])
@pytest.mark.parametrize("place", [0, 1, -1])
def test_every_finite_value_is_taken(value: float, place: int) -> None:
    sent = response(shapes(18), 0)
    buttons = np.zeros((18, 21), np.float32)
    buttons.flat[place] = value
    sent.raw_output_contents[2] = buttons.tobytes()
    assert np.array_equal(ResponseReader(facts(18, 1, 1)).chunk(sent).buttons, buttons)


@pytest.mark.parametrize("value", [np.nan, -np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 1, -1])
def test_no_value_that_is_not_finite_is_taken(value: float, place: int) -> None:
    sent = response(shapes(18), 0)
    buttons = np.zeros((18, 21), np.float32)
    buttons.flat[place] = value
    sent.raw_output_contents[2] = buttons.tobytes()
    with pytest.raises(ModelError, match="buttons holds values that are not finite"):
        ResponseReader(facts(18, 1, 1)).chunk(sent)
