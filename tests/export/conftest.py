"""Downloads of this folder's tests do not wait before they give up."""

import pytest


@pytest.fixture(autouse=True)
def one_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    """No second attempt after a failure that may pass; a test of that sets its own pauses."""
    monkeypatch.setattr("export.checkpoint.hub.PAUSES_S", ())
