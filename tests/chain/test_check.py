"""`nitrogen-gateway check`: what it says of a gateway that works, of none, and of other programs."""

import contextlib
import http.server
import io
import os
import pickle
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme
import zmq
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request as WebSocketRequest
from websockets.http11 import Response
from websockets.sync.server import ServerConnection, serve

from gateway.commands import keys
from gateway.commands.check import main
from tests.gateways import NO_TRITON, GatewayProcess, gateway_process
from tests.patience import WITHIN_S
from tests.stack import Stack, free_port
from tests.stand_ins.brokers import broker

KINDS = [
    *("pickle, PIL image", "pickle, numpy array", "msgpack"),
    *("JSON, raw frame", "JSON, PNG file", "BizHawk's sockets"),
    *("/play, RGBA", "openpi"),
]

Checked = tuple[int, list[str], str]


@pytest.fixture
def check(capsys: pytest.CaptureFixture[str]) -> Callable[..., Checked]:
    """Runs the command on this machine; its exit code, its findings' lines and all that it printed."""

    def run(*words: str) -> Checked:
        code = main(["127.0.0.1", *words])
        said = capsys.readouterr()
        assert said.err == ""
        return code, said.out.splitlines()[1:-1], said.out

    return run


def on_port(port: int, *, only: str) -> list[str]:
    """The words that check one port, and leave the others out."""
    flags = dict.fromkeys(("zmq", "tcp", "web", "http"), "off") | {only: str(port)}
    return [word for name, value in flags.items() for word in (f"--{name}-port", value)]


def stack_words(stack: Stack) -> list[str]:
    return [
        *("--zmq-port", str(stack.zmq_port), "--tcp-port", str(stack.tcp_port)),
        *("--web-port", str(stack.web_port), "--http-port", str(stack.http_port)),
        *("--triton", f"127.0.0.1:{stack.triton_grpc_port}"),
    ]


def test_all_works_on_a_running_stack(tiny_stack: Stack, check: Callable[..., Checked]) -> None:
    code, findings, said = check(*stack_words(tiny_stack))
    assert code == 0, said
    assert said.endswith("everything works\n")
    assert [line.split()[0] for line in findings] == ["ok"] * 17
    predicts = [line.split("  ") for line in findings if line.endswith(" ms, 16 steps")]
    assert [[part for part in words if part][2].strip() for words in predicts] == KINDS


def test_swapped_ports_are_said_to_be_swapped(tiny_stack: Stack, check: Callable[..., Checked]) -> None:
    ports = {"zmq": tiny_stack.tcp_port, "tcp": tiny_stack.zmq_port, "http": tiny_stack.http_port}
    ports["web"] = tiny_stack.web_port
    code, findings, said = check(*(word for name in ports for word in (f"--{name}-port", str(ports[name]))))
    assert code == 1
    assert (
        f"127.0.0.1:{ports['zmq']} is not the gateway's ZeroMQ port: it answers as the TCP port"
        in findings[0]
    )
    assert f"127.0.0.1:{ports['tcp']} is not the gateway's TCP port: it answers in ZeroMQ" in findings[1]
    assert "\n--zmq-port and --tcp-port are swapped\n" in said


def test_the_http_port_taken_for_another_is_named(tiny_stack: Stack, check: Callable[..., Checked]) -> None:
    for name in ("zmq", "tcp"):
        _, findings, said = check(*on_port(tiny_stack.http_port, only=name))
        assert "it answers in HTTP" in findings[0]
        assert "swapped" not in said
    _, findings, _ = check(*on_port(tiny_stack.http_port, only="web"))
    assert "is it the gateway's HTTP port" in findings[0]


def test_a_gateway_behind_a_broker_works(tiny_stack: Stack, check: Callable[..., Checked]) -> None:
    triton = ("--triton", f"127.0.0.1:{tiny_stack.triton_grpc_port}")
    with broker(tiny_stack.zmq_port) as port:
        code, findings, said = check(*on_port(port, only="zmq"), *triton)
    assert code == 0, said
    assert len(findings) == 6


def test_a_model_that_triton_does_not_serve_is_named(
    tiny_stack: Stack, check: Callable[..., Checked]
) -> None:
    code, findings, _ = check(*stack_words(tiny_stack), "--model", "missing")
    assert code == 1
    (failed,) = [line for line in findings if line.startswith("FAIL")]
    assert "does not serve the model 'missing'" in failed


def test_without_a_gateway_each_port_is_said_to_be_closed(check: Callable[..., Checked]) -> None:
    ports = {name: free_port() for name in ("zmq", "tcp", "web", "http")}
    code, findings, _ = check(*(word for name in ports for word in (f"--{name}-port", str(ports[name]))))
    assert code == 1
    for line, (name, port) in zip(findings, ports.items(), strict=False):
        assert line.startswith(f"FAIL  {name} {port}")
        assert f"nothing listens on 127.0.0.1:{port}" in line
        assert f"--{name}-port" in line


def test_a_triton_that_was_not_named_need_not_be_reached(check: Callable[..., Checked]) -> None:
    _, findings, _ = check(*on_port(0, only="zmq"))
    assert findings[-1].startswith(("note  triton 8001", "ok", "FAIL  triton 8001"))


def test_a_triton_that_was_named_must_be_reached(check: Callable[..., Checked]) -> None:
    port = free_port()
    code, findings, _ = check(*on_port(0, only="zmq"), "--triton", f"127.0.0.1:{port}")
    assert code == 1
    assert findings[-1].startswith(f"FAIL  triton {port}")


def test_an_unknown_name_is_said_to_be_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["no-such-host.invalid"]) == 1
    assert "cannot be resolved" in capsys.readouterr().out


def test_a_gateway_without_triton_tells_its_own_reasons(check: Callable[..., Checked]) -> None:
    with gateway_process(NO_TRITON) as ports:
        words = ("--zmq-port", ports.zmq, "--tcp-port", ports.tcp, "--web-port", ports.web)
        words += ("--http-port", ports.http)
        code, findings, _ = check(*map(str, words))
    assert code == 1
    failed = [line for line in findings if line.startswith("FAIL")]
    assert len(failed) >= 8
    assert all("Triton" in line for line in failed)
    assert any("/healthz" in line and line.startswith("ok") for line in findings)


# Other programs on the ports


@contextlib.contextmanager
def serving(handler: type[socketserver.BaseRequestHandler]) -> Iterator[int]:
    """A server of another kind; its port."""
    socketserver.ThreadingTCPServer.allow_reuse_address = True
    with socketserver.ThreadingTCPServer(("127.0.0.1", free_port()), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join(WITHIN_S)


class Pages(http.server.BaseHTTPRequestHandler):
    """A server of web pages that are not a gateway's."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Silent(socketserver.BaseRequestHandler):
    """Takes everything and says nothing."""

    def handle(self) -> None:
        while self.request.recv(65_536):
            pass


class Trickle(socketserver.BaseRequestHandler):
    """Answers with a byte now and then, forever."""

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self.request.sendall(b"1")
                time.sleep(0.05)


class Echo(socketserver.BaseRequestHandler):
    """Sends back what it gets."""

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            while data := self.request.recv(65_536):
                self.request.sendall(data)


class Closing(socketserver.BaseRequestHandler):
    """Closes each connection at once."""


@pytest.mark.parametrize("port_name", ["zmq", "tcp", "web", "http", "triton"])
@pytest.mark.parametrize("handler", [Pages, Silent, Trickle, Echo, Closing])
def test_another_program_on_a_port_is_told_and_never_waited_for(
    port_name: str, handler: type[socketserver.BaseRequestHandler], check: Callable[..., Checked]
) -> None:
    began = time.monotonic()
    with serving(handler) as port:
        words = on_port(0, only="zmq") if port_name == "triton" else on_port(port, only=port_name)
        triton = ["--triton", f"127.0.0.1:{port}"] if port_name == "triton" else []
        code, findings, said = check(*words, *triton, "--timeout", "0.5")
    assert code == 1
    (failed,) = [line for line in findings if line.startswith(f"FAIL  {port_name} {port}")][:1]
    assert "another program" in failed or "?" in failed, said
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("port_name", ["tcp", "web"])
def test_a_token_is_never_shown(port_name: str, tmp_path: Path, check: Callable[..., Checked]) -> None:
    """Not even when the program on the port repeats what it is sent."""
    token = tmp_path / "token"
    token.write_text("correct horse battery\n")
    for handler in (Echo, Pages):
        with serving(handler) as port:
            words = on_port(port, only=port_name)
            code, _, said = check(*words, f"--{port_name}-token-file", str(token), "--timeout", "1")
        assert code == 1
        assert "corr" not in said


class Code:
    """A pickle of this, loaded by `pickle.loads`, makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.folder),)


@contextlib.contextmanager
def replying(reply: bytes) -> Iterator[int]:
    """A ZeroMQ socket that gives the same reply to everything; its port."""
    context = zmq.Context()
    router = context.socket(zmq.ROUTER)
    router.linger = 0
    port = router.bind_to_random_port("tcp://127.0.0.1")
    stop = threading.Event()

    def serve() -> None:
        while not stop.is_set():
            if router.poll(50):
                identity, empty, _ = router.recv_multipart()
                router.send_multipart([identity, empty, reply])

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield port
    finally:
        stop.set()
        thread.join(WITHIN_S)
        context.destroy(linger=0)


def test_a_replys_pickle_is_not_run(tmp_path: Path, check: Callable[..., Checked]) -> None:
    target = tmp_path / "made"
    with replying(pickle.dumps({"status": "ok", "pred": Code(target)})) as port:
        code, findings, _ = check(*on_port(port, only="zmq"))
    assert code == 1
    assert "it names posix.mkdir, which no gateway does" in findings[0]
    assert not target.exists()


def test_an_error_replys_text_is_told_on_one_line(check: Callable[..., Checked]) -> None:
    reply = {"status": "error", "message": "busy\nok    everything works\x1b[2J" + 1000 * "x"}
    with replying(pickle.dumps(reply)) as port:
        code, findings, _ = check(*on_port(port, only="zmq"))
    assert code == 1
    assert r"error reply: busy\nok    everything works\x1b[2J" in findings[0]
    assert all(len(line) < 500 for line in findings)


@pytest.mark.parametrize(
    "reply", [{"status": "ok"}, {"status": "ok", "pred": {"j_left": []}}, {"status": "fine"}, ["ok"], None]
)
def test_replies_of_another_shape_do_not_count(reply: object, check: Callable[..., Checked]) -> None:
    with replying(pickle.dumps(reply)) as port:
        code, findings, _ = check(*on_port(port, only="zmq"))
    assert code == 1
    assert [line.split()[0] for line in findings[:4]] == ["FAIL"] * 4


@pytest.mark.parametrize("reply", ["[" * 10_000, "{", "[]", b"\x81" * 10_000, b"\xc1", b"\x90"])
def test_websockets_that_say_something_else_are_told(
    reply: str | bytes, check: Callable[..., Checked]
) -> None:
    def page(_: ServerConnection, request: WebSocketRequest) -> Response | None:
        if "Upgrade" in request.headers:
            return None
        return Response(200, "OK", Headers({"Content-Type": "text/html"}), b"<p>a page</p>")

    def talk(connection: ServerConnection) -> None:
        connection.send(reply)
        with contextlib.suppress(ConnectionClosed):
            for _ in connection:
                connection.send(reply)

    with serve(talk, "127.0.0.1", 0, process_request=page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        code, findings, _ = check(*on_port(server.socket.getsockname()[1], only="web"))
        server.shutdown()
        thread.join()
    assert code == 1
    page_line, *others = [line for line in findings if "  web " in line]
    assert page_line.startswith("ok")
    assert [line.split()[0] for line in others] == ["FAIL"] * 3
    assert all("another program" in line or "error message" in line for line in others)


# Gateways that let not everybody in


@pytest.fixture
def guarded(tiny_stack: Stack, tmp_path: Path) -> Iterator[tuple[GatewayProcess, list[str]]]:
    """A gateway with keys, token and TLS; the words that check it, without what lets a client in."""
    with contextlib.redirect_stdout(io.StringIO()):
        assert keys.main([str(tmp_path / "keys"), "--client", "checker"]) == 0
    (tmp_path / "token").write_text("correct horse battery")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(tmp_path / "tls.pem")
    flags = (
        f"--curve-keys={tmp_path / 'keys'}",
        f"--tcp-token-file={tmp_path / 'token'}",
        f"--tcp-tls-cert={tmp_path / 'tls.pem'}",
        f"--web-token-file={tmp_path / 'token'}",
        f"--web-tls-cert={tmp_path / 'tls.pem'}",
    )
    with gateway_process(tiny_stack.triton_endpoint, *flags) as ports:
        words = ("--zmq-port", ports.zmq, "--tcp-port", ports.tcp, "--web-port", ports.web)
        words += ("--http-port", ports.http)
        yield ports, list(map(str, words))


def test_whoever_has_keys_token_and_authority_gets_in(
    guarded: tuple[GatewayProcess, list[str]], tmp_path: Path, check: Callable[..., Checked]
) -> None:
    keep = tmp_path / "keys"
    credentials = [
        *("--client-key", keep / "secrets" / "checker.key_secret", "--server-key", keep / "server.key"),
        *("--tcp-token-file", tmp_path / "token", "--tcp-tls-ca", tmp_path / "ca.pem"),
        *("--web-token-file", tmp_path / "token", "--web-tls-ca", tmp_path / "ca.pem"),
    ]
    code, _, said = check(*guarded[1], *map(str, credentials))
    assert code == 0, said


def test_whoever_has_none_is_told_what_to_give(
    guarded: tuple[GatewayProcess, list[str]], tmp_path: Path, check: Callable[..., Checked]
) -> None:
    code, findings, _ = check(*guarded[1], "--timeout", "2")
    assert code == 1
    assert "give --client-key and --server-key" in findings[0]
    assert "--tcp-tls-ca" in findings[1]
    assert "--web-tls-ca" in next(line for line in findings if line.startswith("FAIL  web"))
    authority = str(tmp_path / "ca.pem")
    trusting = ("--tcp-tls-ca", authority, "--web-tls-ca", authority)
    _, findings, _ = check(*guarded[1], "--timeout", "2", *trusting)
    assert "--tcp-token-file" in findings[1]
    page, *others = [line for line in findings if "  web " in line]
    assert page.startswith("ok")
    assert all("--web-token-file" in line for line in others)


def test_a_key_that_is_not_allowed_is_told(
    guarded: tuple[GatewayProcess, list[str]], tmp_path: Path, check: Callable[..., Checked]
) -> None:
    keep = tmp_path / "keys"
    with contextlib.redirect_stdout(io.StringIO()):
        assert keys.main([str(tmp_path / "others"), "--client", "stranger"]) == 0
    stranger = tmp_path / "others" / "secrets" / "stranger.key_secret"
    for server in (keep / "server.key", tmp_path / "others" / "server.key"):
        credentials = ["--client-key", str(stranger), "--server-key", str(server)]
        code, findings, _ = check(*on_port(guarded[0].zmq, only="zmq"), *credentials, "--timeout", "3")
        assert code == 1
        assert "key" in findings[0]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--zmq-port", "70000"], "neither a port nor the word off"),
        (["--tcp-port", "of"], "'of' is neither a port nor the word off"),
        (["--triton", "here"], "not HOST:PORT"),
        (["--timeout", "never"], "not a number of seconds"),
        (["--client-key", "a"], "give both"),
        (["--client-key", "missing", "--server-key", "missing"], "not a readable file of CURVE keys"),
        (["--tcp-token-file", "missing"], "is not a file with a token"),
        (["--tcp-tls-ca", "missing"], "not a readable PEM file"),
        (["--web-token-file", "missing"], "is not a file with a token"),
    ],
)
def test_wrong_flags_are_one_sentence(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["127.0.0.1", *words])
    assert ended.value.code == 2
    assert sentence in capsys.readouterr().err
