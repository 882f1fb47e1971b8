"""A repository that holds the golden checkpoint `tiny`, exported once for the tests that start stacks."""

import shutil
from pathlib import Path

import pytest

from export.publish import export_checkpoint
from export.settings import ExportOptions, ModelSettings
from tests.golden import checkpoint_path


@pytest.fixture(scope="session")
def exported_tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository; not to be changed."""
    repository = tmp_path_factory.mktemp("exported") / "repository"
    export_checkpoint(ExportOptions(checkpoint_path("tiny"), repository, ModelSettings(precision="fp32")))
    return repository


@pytest.fixture
def tiny_repository(exported_tiny: Path, tmp_path: Path) -> Path:
    """A copy of it for one test."""
    return shutil.copytree(exported_tiny, tmp_path / "repository")
