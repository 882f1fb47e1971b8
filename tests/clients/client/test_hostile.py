"""Bytes that no server should send: pickles that call or never end, and torn messages."""

import os
import pickle
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nitrogen_client as client_package
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nitrogen_client import msgpack_format, pickle_format
from nitrogen_client.pickle_reader import read_pickle

from tests.black_frame import PIXELS
from tests.clients.client.kinds import KINDS, MakeClient, connected
from tests.stand_ins.scripted_server import packed_chunk, scripted_server

CHUNK = {
    "j_left": np.full((18, 2), 0.5, np.float32),
    "j_right": np.zeros((18, 2), np.float32),
    "buttons": np.ones((18, 21), np.float32),
}
GOOD: dict[str, Any] = {"status": "ok", "pred": CHUNK, "repeat": 1}


class Calls:
    """Pickles as a call of something."""

    def __init__(self, function: Callable[..., Any], *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[object, ...]]:
        return self.call


def tree_of_tuples() -> object:
    """A tuple of four times the same tuple, and so on: few bytes, and 4**40 numbers when it is shown."""
    tree: object = 1
    for _ in range(40):
        tree = (tree, tree, tree, tree)
    return tree


def dtype_of_order(order: object) -> bytes:
    """A pickled dtype whose state has something else where its byte order belongs."""
    state = pickle.dumps((3, order), 2)[2:-1]
    return b"\x80\x02cnumpy\ndtype\nX\2\0\0\0f4\x85R" + state + b"b."


def bombs(touched: Path) -> dict[str, bytes]:
    """Pickles that would make the file if something in them were called, and others that are crooked."""
    import builtins  # noqa: PLC0415

    code = f"open({str(touched)!r}, 'w').close()"
    touch = f"touch {touched}"
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85C\1b\x87R"
    return {
        "system": pickle.dumps(Calls(os.system, touch)),
        "exec": pickle.dumps({"status": "ok", "pred": Calls(builtins.exec, code)}),
        "eval of protocol 2": pickle.dumps(Calls(builtins.eval, code), 2),
        "a name alone": b"cbuiltins\ngetattr\n.",
        "old instance": b"(S'" + touch.encode() + b"'\nios\nsystem\n.",
        "old object": b"(cos\nsystem\nS'" + touch.encode() + b"'\no.",
        "new object": b"\x80\x02cbuiltins\nbytearray\nJ\xff\xff\xff\x7f\x85\x81.",
        "numpy file": b"\x80\x02cnumpy\nfromfile\nX\x0b\0\0\0/etc/passwd\x85R.",
        "numpy by attributes": b"\x80\x04\x8c\x05numpy\x8c\x0cndarray.dump\x93.",
        "a name as a value": b"\x80\x02}X\1\0\0\0acnumpy\nndarray\ns.",
        "a name in a list": b"\x80\x02]cnumpy\nndarray\na.",
        "half an array": array + b".",
        "state of a name": b"\x80\x02cnumpy\nndarray\n}X\1\0\0\0aK\1sb.",
        "objects": pickle.dumps({"a": np.array([{}], dtype=object)}),
        "records": pickle.dumps(np.zeros(2, dtype=[("a", "f4")])),
        "a false shape": array
        + b"(K\1(J\xff\xff\xff\x7fJ\xff\xff\xff\x7ftcnumpy\ndtype\nX\2\0\0\0f4\x85R\x89C\4aaaatb.",
        "persistent": b"Pid\n.",
        "extension": b"\x82\x01.",
        "huge memo": b"\x80\x02Nr\xff\xff\xff\x7f.",
        "huge text": b"\x80\x04\x8d" + struct.pack("<Q", 2**62) + b"a.",
        "huge bytearray": b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b"a.",
        "huge integer": b"\x80\x02\x8b\x40\x42\x0f\x00" + b"\x7f" * 1_000_000 + b".",
        "deep": b"\x80\x02" + b"]" * 60_000 + b"a" * 59_999 + b".",
        "too many": b"\x80\x02" + b"N0" * 60_000 + b"N.",
        "two values": b"\x80\x02NN.",
        "nothing": b"\x80\x02.",
        "no mark": b"\x80\x02t.",
        "no end": b"\x80\x02N",
        "unhashable key": b"\x80\x02}]Ns.",
        "a dict in two places": pickle.dumps({"status": "ok", "a": CHUNK, "b": CHUNK}),
        "a list in two places": pickle.dumps({"a": [shared := [1]], "b": [shared]}),
        "encode of another kind": b"\x80\x02c_codecs\nencode\nX\1\0\0\0aX\5\0\0\0rot13\x86R.",
    }


BOMBS = sorted(bombs(Path("x")))


@pytest.mark.parametrize("name", BOMBS)
def test_a_pickle_that_needs_more_than_data_is_not_read_and_calls_nothing(name: str, tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    bomb = bombs(touched)[name]
    with pytest.raises(client_package.ProtocolError):
        pickle_format.decode(bomb)
    assert not touched.exists()


READER = """
import pickle, sys
from nitrogen_client import ProtocolError, pickle_format
from nitrogen_client.server_errors import check_status

for reply in pickle.load(sys.stdin.buffer):
    try:
        check_status(pickle_format.decode(reply), is_gateway=False)
    except ProtocolError as error:
        sys.stdout.write(f"{str(error)[:80]}\\n")
"""


def test_replies_that_would_take_for_ever_to_be_read_or_shown_are_refused() -> None:
    tree = tree_of_tuples()
    large = b"\x8a\x80" + b"\x7f" * 128
    replies = [
        pickle.dumps({"status": "error", "message": tree}),
        pickle.dumps({"status": tree}),
        dtype_of_order(tree),
        b"\x80\x03cnumpy\nndarray\n(" + large + b"q\0" + b"h\0" * 99_000 + b"tX\2\0\0\0f4C\0\x87R.",
    ]
    done = subprocess.run(
        [sys.executable, "-c", READER],
        input=pickle.dumps(replies),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        timeout=40,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == len(replies), done.stdout


def test_the_bombs_are_live(tmp_path: Path) -> None:
    live = bombs(tmp_path / "touched")
    for name in ("system", "exec", "eval of protocol 2", "old instance", "old object"):
        pickle.loads(live[name])
        (tmp_path / "touched").unlink()


@KINDS
@pytest.mark.parametrize("protocol", ["auto", "pickle", "msgpack"])
def test_a_client_whose_server_sends_a_bomb_says_what_it_is_and_goes_on(
    kind: MakeClient, protocol: str, tmp_path: Path
) -> None:
    touched = tmp_path / "touched"
    bomb = bombs(touched)["exec"]
    script = {b"reset": bomb, b"predict": packed_chunk(0.5)}

    def answer(_: int, message: bytes) -> bytes:
        return next(
            (reply for word, reply in script.items() if word in message), pickle.dumps({"status": "ok"})
        )

    with scripted_server(answer) as server, connected(kind, server.port, protocol=protocol) as client:
        with pytest.raises(client_package.ProtocolError, match="exec, which no reply needs"):
            client.reset()
        assert client.predict(PIXELS)["j_left"][0, 0] == 0.5
    assert not touched.exists()


@pytest.mark.parametrize("protocol", range(2, 6))
def test_the_pickles_of_servers_are_read_whole(protocol: int) -> None:
    value = {
        **GOOD,
        "fortran": np.asfortranarray(np.arange(12, dtype=">i8").reshape(3, 4)),
        "strided": np.arange(20, dtype=np.uint8)[::3],
        "scalar": np.float32(2.5),
        "truth": np.True_,
        "empty": np.zeros((0, 2), np.float32),
        "plain": [1, -(2**70), 2.5, None, True, "text", b"bytes", (1, (2,)), {"a": []}],
        "again": dict(CHUNK),
    }
    read: Any = read_pickle(pickle.dumps(value, protocol))
    assert list(read) == list(value)
    assert read["plain"] == value["plain"]
    assert (read["scalar"], read["truth"]) == (2.5, True)
    for name in ("fortran", "strided", "empty"):
        np.testing.assert_array_equal(read[name], value[name])
        assert read[name].flags.writeable
    for part, array in CHUNK.items():
        np.testing.assert_array_equal(read["pred"][part], array)
        assert read["again"][part] is read["pred"][part]


def test_a_torn_pickle_is_no_reply() -> None:
    whole = pickle.dumps(GOOD)
    for length in (*range(0, len(whole), 9), len(whole) - 1):
        with pytest.raises(client_package.ProtocolError):
            pickle_format.decode(whole[:length])


def test_a_torn_msgpack_is_no_reply() -> None:
    whole = packed_chunk(0.5)
    for length in range(len(whole)):
        with pytest.raises(client_package.ProtocolError):
            msgpack_format.decode(whole[:length])


@settings(max_examples=150)
@given(st.data())
def test_no_reply_whatever_it_is_breaks_a_reader(data: st.DataObject) -> None:
    whole, decode = data.draw(
        st.sampled_from(
            [
                (pickle.dumps(GOOD, 2), pickle_format.decode),
                (pickle.dumps(GOOD, 5), pickle_format.decode),
                (packed_chunk(0.5, horizon=2), msgpack_format.decode),
            ]
        )
    )
    changed = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(changed) - 1))
        changed[position : position + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
        if not changed:
            break
    try:
        fields = decode(bytes(changed))
    except client_package.ProtocolError:
        return
    assert isinstance(fields, dict)
