"""`activate` and `rollback` with a running Triton, also when it refuses."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from export.errors import ActivationError, RepositoryError
from export.repository.live import activate, rollback
from export.repository.served import history, served_number
from tests.chain.served_models import Repository, Served, running_triton

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


def test_a_triton_of_another_repository_is_noticed(
    repository: Repository, served: Served, tmp_path: Path
) -> None:
    other = Repository(tmp_path / "other")
    for steps in (1, 2):
        other.export("tiny", "nitrogen", steps=steps)

    with pytest.raises(ActivationError, match="loaded nitrogen, but not version 2: does it read"):
        activate(other.folder, "nitrogen", 2, served.endpoint)
    assert served.version("nitrogen") == 1
