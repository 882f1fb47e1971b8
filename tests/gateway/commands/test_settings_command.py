"""`nitrogen-gateway settings`: right settings are nothing to speak of, wrong ones are a sentence."""

from pathlib import Path

import pytest

from gateway.commands.settings import main


def test_right_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recordings = tmp_path / "recordings"
    assert main(["--max-clients=5", f"--record={recordings}"]) == 0
    assert capsys.readouterr() == ("", "")
    # Where a gateway records, another one must not begin to.
    assert not recordings.exists()


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("NITROGEN_MAX_CLIENTS", "many", "NITROGEN_MAX_CLIENTS is 'many', but a whole number"),
        ("NITROGEN_ALLOW", "10.0.0.0/40", "NITROGEN_ALLOW is '10.0.0.0/40', but networks are needed"),
        ("NITROGEN_CURVE_KEYS", "/nonexistent", "--curve-keys /nonexistent cannot be used"),
        ("NITROGEN_TCP_TLS_CERT", __file__, "is not a PEM certificate"),
    ],
)
def test_a_wrong_setting(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    value: str,
    sentence: str,
) -> None:
    monkeypatch.setenv(name, value)
    assert main([]) == 2
    said = capsys.readouterr().err
    assert said.startswith("nitrogen-gateway: ")
    assert sentence in said
    assert said.count("\n") == 1
