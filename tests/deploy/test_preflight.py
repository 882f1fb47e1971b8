"""`preflight` of the compose stack: wrong names and ports are told before anything is downloaded."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.compose_stack import ROOT
from tests.patience import WITHIN_S
from tests.stack import free_port


def preflight(folder: Path, *ports: str, running: str = "", **settings: str) -> tuple[int, str]:
    """Run it as the container does; its exit code and what it says, which the export is told, too."""
    (folder / "running").write_text(running)
    run = subprocess.run(
        [
            sys.executable,
            str(ROOT / "deploy/compose/preflight.py"),
            str(ROOT / ".env.example"),
            str(folder),
            *ports,
        ],
        env={"PATH": os.environ["PATH"], **settings},
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    problems = folder / "problems"
    assert run.stderr == (problems.read_text() if problems.exists() else "")
    return run.returncode, run.stderr


def test_right_settings_and_free_ports_give_no_problems(tmp_path: Path) -> None:
    port = f"gateway,NITROGEN_ZMQ_PORT,0.0.0.0:{free_port()}"
    assert preflight(tmp_path, port, NITROGEN_STEPS="4", NITROGEN_FORMAT="both", OTHER="x") == (0, "")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("NITROGEN_STPES", ": did you mean NITROGEN_STEPS?"),
        ("NITROGEN_MAX_CLIENT", ": did you mean NITROGEN_MAX_CLIENTS?"),
        ("NITROGEN_XYZZY", ", which .env.example lists"),
    ],
)
def test_a_misspelt_name_is_told_with_the_one_that_was_meant(tmp_path: Path, name: str, meant: str) -> None:
    assert preflight(tmp_path, **{name: "1"}) == (
        1,
        f"preflight: {name} in .env is not one of the stack's settings{meant}\n",
    )


def test_onnx_alone_is_refused(tmp_path: Path) -> None:
    code, said = preflight(tmp_path, NITROGEN_FORMAT="onnx", NITROGEN_MODEL="fast")
    assert code == 1
    assert "NITROGEN_FORMAT is 'onnx', which is published as fast-onnx" in said


@pytest.mark.parametrize(("listening", "wanted"), [("127.0.0.1", "0.0.0.0"), ("0.0.0.0", "127.0.0.1")])
def test_a_port_in_use_is_told_with_the_setting_that_chooses_another(
    tmp_path: Path, listening: str, wanted: str
) -> None:
    with socket.create_server((listening, 0)) as server:
        port = server.getsockname()[1]
        place = f"gateway,NITROGEN_TCP_PORT,{wanted}:{port}"
        code, said = preflight(tmp_path, place)
        assert code == 1
        assert f"listens on port {port}" in said
        assert said.endswith("choose another port in .env, NITROGEN_TCP_PORT\n")
        # The gateway that runs is the one that has it.
        (tmp_path / "problems").unlink()
        assert preflight(tmp_path, place, running="gateway\ntriton\n") == (0, "")


@pytest.mark.parametrize("number", ["10.0.0.1:5555", "5555-5560", ""])
def test_what_is_not_one_port_is_left_to_docker(tmp_path: Path, number: str) -> None:
    assert preflight(tmp_path, f"gateway,NITROGEN_ZMQ_PORT,0.0.0.0:{number}") == (0, "")
