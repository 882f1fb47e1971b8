"""The `config.pbtxt` of both formats say to Triton what the contract says to export and gateway."""

import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import DataType, ModelConfig

from contract.facts import facts_from_parameters
from contract.tensors import Tensor, input_tensors, output_tensors
from tests.paths import ROOT


@pytest.fixture(params=["nitrogen", "nitrogen-onnx"])
def config(request: pytest.FixtureRequest) -> ModelConfig:
    path = ROOT / "model_repository" / request.param / "config.pbtxt"
    return text_format.Parse(path.read_text(), ModelConfig())


def test_the_tensors_are_the_contracts_in_its_order(config: ModelConfig) -> None:
    found = [
        [(tensor.name, DataType.Name(tensor.data_type), tuple(tensor.dims)) for tensor in tensors]
        for tensors in (config.input, config.output)
    ]
    assert found == [_described(input_tensors(18, 1)), _described(output_tensors(18))]


def test_the_facts_are_the_contracts_in_its_own_texts(config: ModelConfig) -> None:
    said = {key: value.string_value for key, value in config.parameters.items()}
    said.pop("DISABLE_OPTIMIZED_EXECUTION", None)  # of Triton's backend, and no fact
    assert facts_from_parameters(said).to_parameters() == said


def _described(tensors: tuple[Tensor, ...]) -> list[tuple[str, str, tuple[int, ...]]]:
    return [(tensor.name, f"TYPE_{tensor.data_type}", tensor.dims) for tensor in tensors]
