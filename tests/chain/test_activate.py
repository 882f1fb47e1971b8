"""`activate` and `rollback` with a running Triton, also when it refuses."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from contract.tensors import OUTPUT_NAMES
from export.errors import ActivationError, RepositoryError
from export.publish import export_checkpoint
from export.repository.live import activate, rollback
from export.repository.served import history, served_number
from export.settings import ExportOptions, ModelSettings
from tests.chain.match import Match
from tests.chain.served_models import Repository, Served, running_triton
from tests.gateways import gateway_process
from tests.golden import checkpoint_path
from tests.noise import seeded_noise
from tests.pictures import picture

pytestmark = pytest.mark.slow


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """Version 1, which Triton is going to run, and nothing else."""
    repository = Repository(tmp_path / "repository")
    repository.export("tiny", "nitrogen", steps=1)
    return repository


@pytest.fixture
def served(repository: Repository, tmp_path: Path) -> Iterator[Served]:
    (tmp_path / "triton").mkdir()
    with running_triton(repository, ["nitrogen"], tmp_path / "triton") as served:
        yield served


def test_a_version_that_triton_refuses_changes_nothing(repository: Repository, served: Served) -> None:
    repository.export("tiny", "nitrogen", steps=2)
    graph = repository.folder / "nitrogen" / "2" / "model.pt"
    graph.write_bytes(bytes(graph.stat().st_size))

    told = "could not load version 2 of nitrogen: .*PytorchStreamReader failed .*central directory"
    with pytest.raises(ActivationError, match=told):
        activate(repository.folder, "nitrogen", 2, served.endpoint)
    assert served.version("nitrogen") == 1
    assert served_number(repository.folder, "nitrogen") == 1
    assert history(repository.folder, "nitrogen") == [1]


def test_rollback_goes_to_what_triton_served_before_not_to_what_was_published(
    repository: Repository, served: Served
) -> None:
    for steps in (2, 3):
        repository.export("tiny", "nitrogen", steps=steps)
    activate(repository.folder, "nitrogen", 3, served.endpoint)
    assert served.version("nitrogen") == 3

    assert rollback(repository.folder, "nitrogen", served.endpoint) == 1
    assert served.version("nitrogen") == 1
    assert served_number(repository.folder, "nitrogen") == 1
    with pytest.raises(RepositoryError, match="no earlier version of nitrogen"):
        rollback(repository.folder, "nitrogen", served.endpoint)


def test_a_running_triton_moves_to_the_other_format_and_back_and_no_request_is_lost(
    repository: Repository, served: Served
) -> None:
    """As when `--format auto` chooses otherwise than the export before it."""
    settings = ModelSettings(formats=("onnx",), steps=1, precision="fp32")
    export_checkpoint(
        ExportOptions(checkpoint_path("tiny"), repository.folder, settings, plain_name=True, keep=0)
    )
    shown, noise = [picture(1)], seeded_noise(1, 16)
    answers = [served.answer("nitrogen", shown, noise, context=1, game_id=0)]

    with gateway_process(served.endpoint) as gateway:
        match = Match(gateway)
        try:
            match.wait_for(3)
            activate(repository.folder, "nitrogen", 2, served.endpoint)
            assert served.version("nitrogen") == 2
            answers.append(served.answer("nitrogen", shown, noise, context=1, game_id=0))
            match.wait_for(3)
            assert rollback(repository.folder, "nitrogen", served.endpoint) == 1
            assert served.version("nitrogen") == 1
            answers.append(served.answer("nitrogen", shown, noise, context=1, game_id=0))
            match.wait_for(3)
        finally:
            played = match.finish()

    assert [one.reply for one in played if one.reply["status"] != "ok"] == []
    for tensor in OUTPUT_NAMES:
        np.testing.assert_allclose(answers[1][tensor], answers[0][tensor], rtol=0, atol=1e-4)
        np.testing.assert_array_equal(answers[2][tensor], answers[0][tensor])


def test_a_triton_of_another_repository_is_noticed(
    repository: Repository, served: Served, tmp_path: Path
) -> None:
    other = Repository(tmp_path / "other")
    for steps in (1, 2):
        other.export("tiny", "nitrogen", steps=steps)

    with pytest.raises(ActivationError, match="loaded nitrogen, but not version 2: does it read"):
        activate(other.folder, "nitrogen", 2, served.endpoint)
    assert served.version("nitrogen") == 1
