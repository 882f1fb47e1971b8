"""The ONNX form: the golden cases in ONNX Runtime, and what Triton's onnxruntime backend relies on."""

import json
import re
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from google.protobuf import text_format
from onnx import TensorProto
from tritonclient.grpc import model_config_pb2

from contract.tensors import INPUT_NAMES
from export.checkpoint.config import parse_config
from export.checkpoint.reader import Checkpoint
from export.checkpoint.tensors import checkpoint_tensors
from export.checkpoint.vision_config import VisionConfig
from export.errors import RepositoryError, VerificationError
from export.formats.format import FORMATS
from export.formats.onnx_graph import check_onnx, load_onnx, save_onnx
from export.formats.self_check import Graph, check_graph, check_inputs, reference_answers
from export.formats.torchscript import load_torchscript, save_torchscript
from export.network.model import NitroGen, Sampling
from export.network.precision import lower_precision
from export.network.weights import load_model
from export.settings import Precision
from tests.export.golden_networks import golden_inputs, golden_network
from tests.golden import (
    ACTIONS_TOLERANCE,
    CHECKPOINTS,
    GoldenCase,
    assert_case,
    checkpoint_path,
    golden_cases,
)

INT64 = torch.iinfo(torch.int64)
CASES = {name: list(golden_cases(name)) for name in CHECKPOINTS}
VARIANTS = sorted({(name, case.cfg_scale, case.old_layout) for name in CHECKPOINTS for case in CASES[name]})


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, float, bool], Graph]:
    """A loaded graph for each checkpoint, guidance scale and layout of the golden cases."""
    folder = tmp_path_factory.mktemp("golden")
    loaded = {}
    for name, cfg_scale, old_layout in VARIANTS:
        path = folder / f"{name}-{cfg_scale}-{old_layout}.onnx"
        save_onnx(golden_network(name, cfg_scale, old_layout=old_layout), path)
        loaded[name, cfg_scale, old_layout] = load_onnx(path)
    return loaded


@pytest.mark.parametrize(
    ("name", "case"),
    [pytest.param(name, case, id=f"{name}-{case.index}") for name in CHECKPOINTS for case in CASES[name]],
)
def test_case(graphs: dict[tuple[str, float, bool], Graph], name: str, case: GoldenCase) -> None:
    outputs = graphs[name, case.cfg_scale, case.old_layout](golden_inputs(case))

    assert_case(case, tuple(output[0].numpy() for output in outputs))


@pytest.mark.parametrize(("name", "cfg_scale", "old_layout"), VARIANTS)
def test_a_batch_gives_each_case_its_own_actions(
    graphs: dict[tuple[str, float, bool], Graph], name: str, cfg_scale: float, old_layout: bool
) -> None:
    cases = [case for case in CASES[name] if (case.cfg_scale, case.old_layout) == (cfg_scale, old_layout)]

    actions = graphs[name, cfg_scale, old_layout](golden_inputs(*cases))[-1]

    reference = np.stack([case.actions for case in cases])
    np.testing.assert_allclose(actions.numpy(), reference, rtol=0, atol=ACTIONS_TOLERANCE)


@pytest.fixture(
    scope="module", params=[(name, scale) for name in CHECKPOINTS for scale in (1.0, 2.0)], ids=str
)
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[NitroGen, Path]:
    """A model of one step, and its file: `tiny` reads no game, guided models neither."""
    name, cfg_scale = request.param
    model = golden_network(name, cfg_scale, steps=1)
    path = tmp_path_factory.mktemp("saved") / "model.onnx"
    save_onnx(model, path)
    return model, path


@pytest.fixture(scope="module")
def graph(saved: tuple[NitroGen, Path]) -> Graph:
    return load_onnx(saved[1])


def test_the_contract_is_whole_and_in_order(saved: tuple[NitroGen, Path]) -> None:
    model, path = saved
    graph = onnx.load(path).graph
    context, horizon = model.context_length, model.horizon

    described = {
        value.name: (
            value.type.tensor_type.elem_type,
            [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim],
        )
        for value in (*graph.input, *graph.output)
    }
    assert [value.name for value in graph.input] == list(INPUT_NAMES)
    assert [value.name for value in graph.output] == ["j_left", "j_right", "buttons", "actions"]
    assert described == {
        "frames": (TensorProto.UINT8, ["batch", context, 256, 256, 3]),
        "frame_count": (TensorProto.INT64, ["batch", 1]),
        "game_id": (TensorProto.INT64, ["batch", 1]),
        "noise": (TensorProto.FLOAT, ["batch", horizon, 25]),
        "previous": (TensorProto.FLOAT, ["batch", horizon, 25]),
        "previous_weight": (TensorProto.FLOAT, ["batch", horizon]),
        "j_left": (TensorProto.FLOAT, ["batch", horizon, 2]),
        "j_right": (TensorProto.FLOAT, ["batch", horizon, 2]),
        "buttons": (TensorProto.FLOAT, ["batch", horizon, 21]),
        "actions": (TensorProto.FLOAT, ["batch", horizon, 25]),
    }


def test_onnx_runtime_1_23_is_new_enough(saved: tuple[NitroGen, Path]) -> None:
    model = onnx.load(saved[1])

    assert model.ir_version <= 10
    assert [(opset.domain, opset.version <= 22) for opset in model.opset_import] == [("", True)]
    assert {node.domain for node in model.graph.node} == {""}


def test_the_checker_finds_no_fault(saved: tuple[NitroGen, Path]) -> None:
    check_onnx(saved[1])


@pytest.mark.parametrize("batch", [1, 3, 16])
def test_any_batch_computes_what_the_network_computes(
    saved: tuple[NitroGen, Path], graph: Graph, batch: int
) -> None:
    model, _ = saved
    given = check_inputs(model, batch, seed=batch)

    # Guidance amplifies the last bits: on such pictures float32 itself is up to 2.5e-4 from float64.
    torch.testing.assert_close(graph(given)[-1], model(*given)[-1], rtol=0, atol=1e-3)


@pytest.mark.parametrize("value", [INT64.min, -1, 0, 7, INT64.max])
def test_counts_and_games_out_of_range_are_clamped(
    saved: tuple[NitroGen, Path], graph: Graph, value: int
) -> None:
    model, _ = saved
    frames, _, _, *rest = check_inputs(model, batch=1, seed=0)
    wild = torch.tensor([[value]])
    count = wild.clamp(1, model.context_length)
    game = wild.clamp(0, max(model.game_rows.size(0) - 1, 0))

    assert torch.equal(graph((frames, wild, wild, *rest))[-1], graph((frames, count, game, *rest))[-1])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -3e38])
def test_wild_noise_does_not_raise(saved: tuple[NitroGen, Path], graph: Graph, value: float) -> None:
    frames, count, game, noise, *rest = check_inputs(saved[0], batch=1, seed=0)

    assert graph((frames, count, game, torch.full_like(noise, value), *rest))[-1].shape == noise.shape


def untrained(vl_layers: int, interleave: bool, positions: str | None, horizon: int) -> NitroGen:
    """A model of two frames with random weights, in which hardly two sizes are the same."""
    json_config = json.loads(checkpoint_path("tiny").with_name("config.json").read_text())
    sizes = json_config["model_cfg"]
    sizes |= {"hidden_size": 40, "vision_hidden_size": 48, "action_horizon": horizon}
    blocks = {"positional_embeddings": positions, "max_num_positional_embeddings": 600}
    sizes["diffusion_model_cfg"] |= blocks | {
        "num_attention_heads": 2,
        "attention_head_dim": 20,
        "output_dim": 40,
        "cross_attention_dim": 48,
        "interleave_self_attention": interleave,
    }
    sizes["vl_self_attention_cfg"] |= blocks | {
        "num_attention_heads": 4,
        "attention_head_dim": 12,
        "num_layers": vl_layers,
    }
    json_config["tokenizer_cfg"] |= {"max_sequence_length": 530, "action_horizon": horizon}
    config, vision = (
        parse_config(json_config),
        VisionConfig(num_layers=2, width=48, num_heads=3, mlp_width=72),
    )
    generator = torch.Generator().manual_seed(0)
    tensors = {
        name: torch.randn(shape, generator=generator) * (0.1 if len(shape) == 1 else shape[-1] ** -0.5)
        for name, shape in checkpoint_tensors(config, vision, num_games=4).items()
    }
    checkpoint = Checkpoint(Path(), "", tensors, config, vision, (None, "a", "b", "c"))
    return load_model(checkpoint, Sampling(context_length=2, steps=2, cfg_scale=1.0))


@pytest.mark.parametrize(
    ("vl_layers", "interleave", "positions", "horizon"), [(1, True, None, 5), (0, False, "sinusoidal", 1)]
)
def test_other_architectures_compute_what_the_network_computes(
    tmp_path: Path, vl_layers: int, interleave: bool, positions: str | None, horizon: int
) -> None:
    model = untrained(vl_layers, interleave, positions, horizon)
    given = check_inputs(model, batch=3, seed=0)

    save_onnx(model, tmp_path / "model.onnx")

    for output, expected in zip(load_onnx(tmp_path / "model.onnx")(given), model(*given), strict=True):
        torch.testing.assert_close(output, expected, rtol=0, atol=1e-4)


def test_the_same_model_gives_the_same_bytes(saved: tuple[NitroGen, Path], tmp_path: Path) -> None:
    model, path = saved

    save_onnx(model, tmp_path / "again.onnx")

    assert (tmp_path / "again.onnx").read_bytes() == path.read_bytes()


def test_the_graph_tells_nothing_of_the_machine(saved: tuple[NitroGen, Path]) -> None:
    model = onnx.load(saved[1])
    assert not model.metadata_props
    assert not model.producer_name
    for weight in model.graph.initializer:
        weight.ClearField("raw_data")

    assert "/" not in str(model)


def test_steps_share_their_weights(tmp_path: Path) -> None:
    shapes = []
    for steps in (1, 4):
        path = tmp_path / f"{steps}.onnx"
        save_onnx(golden_network("tiny", steps=steps), path)
        weights = onnx.load(path).graph.initializer
        shapes.append(sorted(tuple(weight.dims) for weight in weights if len(weight.dims) > 1))

    assert shapes[0] == shapes[1]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[NitroGen, Path]:
    """A model saved in the way of large ones, its weights beside it."""
    model = golden_network("tiny-ctx", steps=1)
    path = tmp_path_factory.mktemp("large") / "model.onnx"
    save_onnx(model, path, one_file_bytes=0)
    return model, path


def test_a_large_models_weights_lie_beside_it(large: tuple[NitroGen, Path], tmp_path: Path) -> None:
    model, path = large
    moved = Path(shutil.copytree(path.parent, tmp_path / "elsewhere"))
    save_onnx(model, tmp_path / "one-file.onnx")
    given = check_inputs(model, batch=2, seed=0)

    assert {file.name for file in moved.iterdir()} == {"model.onnx", "model.onnx.data"}
    assert (moved / "model.onnx").stat().st_size < (moved / "model.onnx.data").stat().st_size
    outputs, expected = load_onnx(moved / "model.onnx")(given), load_onnx(tmp_path / "one-file.onnx")(given)
    assert all(map(torch.equal, outputs, expected))


def test_a_large_model_gives_the_same_bytes(large: tuple[NitroGen, Path], tmp_path: Path) -> None:
    model, path = large

    save_onnx(model, tmp_path / "model.onnx", one_file_bytes=0)

    for name in ("model.onnx", "model.onnx.data"):
        assert (tmp_path / name).read_bytes() == (path.parent / name).read_bytes()


@contextmanager
def files_end_at(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond `size` bytes, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("one_file_bytes", [0, 1 << 30])
def test_a_full_disk_is_said_in_a_sentence(tmp_path: Path, one_file_bytes: int) -> None:
    model = golden_network("tiny", steps=1)
    sentence = (
        rf"^0\.00 GB for {re.escape(str(tmp_path))}/model.onnx cannot be written \(.+\): free some space"
    )

    with files_end_at(100_000), pytest.raises(RepositoryError, match=sentence):
        save_onnx(model, tmp_path / "model.onnx", one_file_bytes=one_file_bytes)


def test_a_graph_that_the_checker_refuses_is_refused(saved: tuple[NitroGen, Path], tmp_path: Path) -> None:
    model = onnx.load(saved[1])
    model.graph.node[-1].input[0] = "nowhere"
    onnx.save(model, tmp_path / "model.onnx")

    with pytest.raises(VerificationError, match=r"ONNX's checker refuses .* --format torchscript.*nowhere"):
        check_onnx(tmp_path / "model.onnx")


@pytest.fixture(scope="module", params=["fp16", "bf16"])
def lowered(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Precision, NitroGen, Path]:
    """A model in low precision, and its file."""
    model = golden_network("tiny-ctx")
    lower_precision(model, request.param)
    path = tmp_path_factory.mktemp("lowered") / "model.onnx"
    save_onnx(model, path)
    return request.param, model, path


def test_low_precision_keeps_the_contract_and_costs_what_it_costs_in_torchscript(
    lowered: tuple[Precision, NitroGen, Path], tmp_path: Path
) -> None:
    precision, model, path = lowered
    reference = reference_answers(golden_network("tiny-ctx"))
    save_torchscript(model, tmp_path / "model.pt")

    graph = load_onnx(path)

    assert {output.dtype for output in graph(reference.batches[0][0])} == {torch.float32}
    cost = check_graph(graph, reference, precision).mean_difference
    of_torchscript = check_graph(
        load_torchscript(tmp_path / "model.pt"), reference, precision
    ).mean_difference
    assert of_torchscript / 2 < cost < of_torchscript * 2


# ONNX Runtime and TensorRT compute in what the graph says.
LOW_TYPES = {"fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}
PRODUCTS = {"Gemm", "MatMul"}
IN_FLOAT32 = {"LayerNormalization", "Gelu", "Sigmoid", "Add", "Sub", "Div", "Clip", "Where", "Greater"}


def test_products_are_in_low_precision_and_sums_and_norms_in_float32(
    lowered: tuple[Precision, NitroGen, Path],
) -> None:
    precision, _, path = lowered
    graph = onnx.shape_inference.infer_shapes(onnx.load(path)).graph
    types = {value.name: value.type.tensor_type.elem_type for value in (*graph.value_info, *graph.output)}
    types |= {value.name: value.type.tensor_type.elem_type for value in graph.input}
    types |= {weight.name: weight.data_type for weight in graph.initializer}

    def types_of(kinds: set[str]) -> set[int]:
        return {types[name] for node in graph.node if node.op_type in kinds for name in node.input} - {
            TensorProto.INT64,
            TensorProto.BOOL,
        }

    assert types_of(PRODUCTS) == {LOW_TYPES[precision]}
    assert types_of(IN_FLOAT32) == {TensorProto.FLOAT}


def test_a_large_bf16_models_weights_lie_beside_it(
    lowered: tuple[Precision, NitroGen, Path], tmp_path: Path
) -> None:
    _, model, path = lowered
    save_onnx(model, tmp_path / "model.onnx", one_file_bytes=0)
    given = check_inputs(model, batch=2, seed=0)

    assert (tmp_path / "model.onnx.data").stat().st_size > (tmp_path / "model.onnx").stat().st_size
    assert all(map(torch.equal, load_onnx(tmp_path / "model.onnx")(given), load_onnx(path)(given)))


def test_what_the_config_offers_in_comments_is_valid() -> None:
    lines = FORMATS["onnx"].original.read_text().splitlines()
    offered = "\n".join(line[1:] for line in lines if re.match("#[^ ]|#  ", line))

    config = text_format.Parse(offered, model_config_pb2.ModelConfig())

    (accelerator,) = config.optimization.execution_accelerators.gpu_execution_accelerator
    assert accelerator.name == "tensorrt"
    assert "precision_mode" not in accelerator.parameters  # gone with TensorRT 11: the graph has the types
    profiles = [accelerator.parameters[f"trt_profile_{bound}_shapes"] for bound in ("min", "opt", "max")]
    assert [re.sub(r":\d+x", ":", profile) for profile in profiles] == [
        "frames:1x256x256x3,frame_count:1,game_id:1,noise:18x25,previous:18x25,previous_weight:18"
    ] * 3
    assert int(config.parameters["intra_op_thread_count"].string_value) > 0
