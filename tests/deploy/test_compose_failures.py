"""Mistakes of an operator, or of the world: each is told in one line, and the other services wait."""

import json
import socket
import ssl
import uuid
from pathlib import Path

import pytest
import trustme
import yaml

from export.checkpoint.demo import (
    SEED,
    TOWER_NAME,
    demo_config,
    save_untrained_checkpoint,
    write_demo_checkpoint,
)
from export.checkpoint.vision_config import read_vision_config
from tests.deploy.compose_stack import ComposeStack, compose_stack
from tests.docker_engine import docker
from tests.stack import wait_until
from tests.stand_ins.hub_server import HubServer, running_hub

pytestmark = pytest.mark.docker


def fails(stack: ComposeStack) -> str:
    """Bring the stack up, which fails; the export's last line. The other containers have never run."""
    run = stack.compose("up", "--wait")
    assert run.returncode != 0
    assert 'service "export" didn\'t complete successfully' in run.stderr
    for service in ("triton", "gateway"):
        assert stack.inspect(service)["State"]["Status"] == "created"
    lines = stack.logs("export").strip().splitlines()
    assert not any(line.startswith("Traceback") for line in lines)
    return lines[-1]


def override(folder: Path, services: dict[str, object], **more: object) -> Path:
    """A compose file that changes what a test needs changed."""
    file = folder / "override.yml"
    file.write_text(yaml.safe_dump({"services": services, **more}))
    return file


def test_a_misspelt_setting_and_a_port_in_use_are_told_before_anything_is_exported(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("NITROGEN_STPES=4\nHF_TOKEN=confidential\n")
    file = override(tmp_path, {"preflight": {"env_file": [str(tmp_path / ".env")]}})
    with compose_stack(tmp_path, [file]) as stack, socket.create_server(("127.0.0.1", stack.tcp_port)):
        run = stack.compose("up", "--wait")
        assert run.returncode != 0
        assert "didn't complete successfully: exit 1" in run.stderr
        said = stack.logs("preflight").splitlines()
        assert said[0].endswith(
            "NITROGEN_STPES in .env is not one of the stack's settings: did you mean NITROGEN_STEPS?"
        )
        assert f"listens on port {stack.tcp_port}" in said[1]
        assert "confidential" not in json.dumps(stack.inspect("preflight"))
        # The export would say the same, so that there is one place to look at.
        wait_until(lambda: stack.inspect("export")["State"]["Status"] == "exited", "the export ends")
        assert stack.logs("export").splitlines() == said


def test_a_missing_gpu_is_told_before_anything_is_exported(tmp_path: Path) -> None:
    # In the place of NVIDIA's runtime, which some machines have.
    devices = [{"driver": "nowhere", "device_ids": ["0,1"], "capabilities": ["gpu"]}]
    wanted = {"deploy": {"resources": {"reservations": {"devices": devices}}}}
    file = override(tmp_path, {"preflight": wanted, "triton": wanted})
    with compose_stack(tmp_path, [file]) as stack:
        run = stack.compose("up", "--wait")
        assert run.returncode != 0
        assert 'could not select device driver "nowhere" with capabilities: [[gpu]]' in run.stderr
        assert stack.logs("export") == ""
        for service in ("preflight", "triton"):
            (request,) = stack.inspect(service)["HostConfig"]["DeviceRequests"]
            assert request["DeviceIDs"] == ["0,1"]


def test_a_models_folder_that_is_empty_and_read_only_stops_nobody_who_needs_none(tmp_path: Path) -> None:
    file = override(tmp_path, {"prepare": {"volumes": [f"{tmp_path}/models:/models:ro"]}})
    with compose_stack(tmp_path, [file]) as stack:
        (tmp_path / "models").mkdir()
        run = stack.compose("up", "--no-deps", "prepare")
        assert run.returncode == 0
        assert stack.inspect("prepare")["State"]["ExitCode"] == 0
        assert "cannot give the folder of /models to user 1000" in stack.logs("prepare")


def test_no_network_on_the_first_run(tmp_path: Path) -> None:
    settings = {"NITROGEN_CHECKPOINT": "nvidia/NitroGen", "HF_ENDPOINT": "http://127.0.0.1:9"}
    with compose_stack(tmp_path, **settings) as stack:
        last = fails(stack)
        assert last.startswith("nitrogen-export: ")
        assert "http://127.0.0.1:9" in last


def test_a_checkpoint_that_is_not_there(tmp_path: Path) -> None:
    with compose_stack(tmp_path, NITROGEN_CHECKPOINT="/models/mine.pt") as stack:
        last = fails(stack)
        assert last.startswith("nitrogen-export: ")
        assert "/models/mine.pt" in last


def test_a_full_volume(tmp_path: Path) -> None:
    tmpfs = {"type": "tmpfs", "device": "tmpfs", "o": "size=1m,uid=1000"}
    file = override(tmp_path, {}, volumes={"repository": {"driver_opts": tmpfs}})
    with compose_stack(tmp_path, [file]) as stack:
        last = fails(stack)
        assert last.startswith("nitrogen-export: ")
        assert "space" in last


def test_an_export_that_is_killed_halfway_leaves_nothing_to_serve_and_the_next_one_succeeds(
    tmp_path: Path,
) -> None:
    with compose_stack(tmp_path) as stack:
        assert stack.compose("up", "--detach", "--no-deps", "prepare").returncode == 0
        assert stack.compose("up", "--detach", "--no-deps", "settings").returncode == 0
        assert stack.compose("up", "--detach", "--no-deps", "export").returncode == 0
        wait_until(lambda: "2 of 3" in stack.logs("export"), "the export converts")
        docker("kill", "--signal=KILL", stack.containers("export")[0])
        assert "published" not in stack.logs("export")
        stack.up("--no-deps", "settings")
        run = stack.compose("up", "--no-deps", "export")
        assert run.returncode == 0
        assert "published /repository/nitrogen/1" in stack.logs("export")
        container = json.loads(docker("inspect", stack.containers("export")[0]))[0]
        assert container["State"]["ExitCode"] == 0


def test_the_checkpoint_is_downloaded_once_and_again_when_it_was_deleted(tmp_path: Path) -> None:
    # On the host's network, where the hub is.
    file = tmp_path / "override.yml"
    file.write_text("services:\n  export: {network_mode: host, networks: !reset []}\n")
    # With a certificate of a company's own authority.
    authority, certificate = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(certificate)
    with running_hub(certificate) as hub:
        fill(hub, tmp_path)
        hub.token = f"hf_{uuid.uuid4().hex}"
        token = tmp_path / "hub-token"
        token.write_text(f"{hub.token}\n")
        settings = {
            "NITROGEN_CHECKPOINT": "somebody/nitrogen",
            "HF_ENDPOINT": hub.url,
            "NO_PROXY": "127.0.0.1,localhost",
            "SSL_CERT_FILE": "/models/company.pem",
            "HF_TOKEN_FILE": str(token),
            "HF_TOKEN": hub.token,  # as somebody's shell may have it
        }
        with compose_stack(tmp_path, [file], **settings) as stack:
            assert stack.compose("up", "--no-deps", "prepare").returncode == 0  # makes the models folder
            authority.cert_pem.write_to_path(str(tmp_path / "models" / "company.pem"))
            assert "published" in exported(stack)
            assert_only_the_export_has(hub.token, stack)
            hub.requests.clear()
            assert "nothing to export" in exported(stack)
            assert hub.requests == []
            remove = "import shutil; shutil.rmtree('/models/somebody')"
            docker(
                *("run", "--rm", "--user=1000:1000", "--entrypoint=python"),
                *(f"--volume={tmp_path / 'models'}:/models", "nitrogen-export:test", "-c", remove),
            )
            assert "nothing to export" in exported(stack)
            assert (tmp_path / "models" / "somebody" / "nitrogen" / "ng.pt").is_file()


def assert_only_the_export_has(secret: str, stack: ComposeStack) -> None:
    """Look for it where others may look, after the export has ended."""
    containers = stack.compose("ps", "--all", "--quiet").stdout.split()
    assert len(containers) >= 3
    assert secret not in docker("inspect", *containers)
    settings = stack.containers("settings")[0]
    everything = "cat /proc/[0-9]*/environ /settings/* /run/secrets/* 2>/dev/null; true"
    seen = docker("exec", settings, "sh", "-c", everything)
    assert "somebody/nitrogen" in seen
    assert secret not in seen


def exported(stack: ComposeStack) -> str:
    """Run the export alone, to its end; what it says."""
    for service in ("prepare", "settings"):
        assert stack.compose("up", "--detach", "--no-deps", service).returncode == 0
    before = len(stack.logs("export"))
    run = stack.compose("up", "--no-deps", "export")
    said = stack.logs("export")[before:]
    assert run.returncode == 0
    assert stack.inspect("export")["State"]["ExitCode"] == 0, said
    return said


def fill(hub: HubServer, folder: Path) -> None:
    """Give the hub an untrained checkpoint whose vision tower's figures are there, too."""
    write_demo_checkpoint(folder / "demo")
    tower = folder / "demo" / TOWER_NAME / "config.json"
    config = demo_config()
    config["model_cfg"]["vision_encoder_name"] = "somebody/tower"
    save_untrained_checkpoint(folder / "ng.pt", config, read_vision_config(tower), SEED)
    hub.put("somebody/nitrogen", "ng.pt", (folder / "ng.pt").read_bytes())
    hub.put("somebody/tower", "config.json", tower.read_bytes(), large=False)
