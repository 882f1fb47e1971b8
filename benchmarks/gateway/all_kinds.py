"""Requests of all kinds, good and bad, in a random mix: what a gateway meets in months, within minutes.

Each kind says how its request has to end; one that ends otherwise is a failure. The mix is the same for the
same seed.
"""

import io
import pickle
import struct
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgpack
import numpy as np
import PIL.Image
import zmq

from benchmarks.gateway.caller import Caller
from benchmarks.gateway.ways import Endpoints, LoadError, png, predict_line, predict_pickle, random_frame

# Flags of a gateway under this mix: its bounds are then reached within the warm-up, not after 10,000 clients.
FLAGS = ("--max-contexts=200", "--max-message-bytes=1000000")
_TOO_LARGE = bytes(1_000_001)

OK, ERROR = "ok", "error"
Send = Callable[[Caller], str | None]


@dataclass(frozen=True)
class Kind:
    """A kind of request: its share of the mix, and what sends one and returns how it ended.

    Attributes:
        ends: the statuses that its reply may have; None where nobody waits for one.
    """

    name: str
    share: float
    send: Send
    ends: tuple[str | None, ...]


def send_requests(
    endpoints: Endpoints, count: int, seed: int, kinds: Sequence[Kind] | None = None
) -> Counter[str]:
    """Send requests, one after the other; return how many there were of each kind.

    Args:
        endpoints: the gateway's.
        count: requests in all.
        seed: decides the order of the kinds.
        kinds: `ALL_KINDS` by default.

    Raises:
        LoadError: a request did not end as its kind has to.
    """
    chosen = ALL_KINDS if kinds is None else kinds
    sent: Counter[str] = Counter()
    with Caller(endpoints, seed) as caller:
        for kind in caller.random.choices(chosen, [kind.share for kind in chosen], k=count):
            try:
                status = kind.send(caller)
            except (OSError, ValueError, zmq.ZMQError, LoadError) as error:
                raise LoadError(f"{kind.name}: {error!r}") from error
            if status not in kind.ends:
                raise LoadError(f"{kind.name}: the reply's status is {status!r}, not one of {kind.ends}")
            sent[kind.name] += 1
    return sent


def _zmq(payload: bytes) -> Send:
    return lambda caller: caller.zmq(payload)


def _tcp(request: bytes) -> Send:
    return lambda caller: caller.tcp(request)


def _end(request: bytes) -> Send:
    return lambda caller: caller.tcp_to_the_end(request)


def _framed(payload: bytes) -> Send:
    return lambda caller: caller.tcp_framed(payload)


def _hang_up(sent: bytes) -> Send:
    return lambda caller: caller.hang_up(caller.endpoints.tcp, sent)


def _torn(whole: bytes) -> Send:
    return lambda caller: caller.zmq(whole[: caller.random.randrange(1, len(whole))])


def _flipped(caller: Caller) -> str:
    torn = bytearray(_SMALL_PICKLE)
    torn[caller.random.randrange(len(torn))] = caller.random.randrange(256)
    return caller.zmq(bytes(torn))


def _pickled(**fields: object) -> bytes:
    return pickle.dumps(fields)


def _file(file_format: str, size: tuple[int, int]) -> bytes:
    file = io.BytesIO()
    PIL.Image.fromarray(_FRAME).resize(size).save(file, file_format)
    return file.getvalue()


def _sized(file: bytes, fields: bytes = b"") -> bytes:
    return b'{"type": "predict", "len": %d%b}\n' % (len(file), fields) + file


def _random_bytes(caller: Caller) -> bytes:
    return caller.random.randbytes(caller.random.randrange(1, 500))


_FRAME = random_frame()
_SMALL = np.ascontiguousarray(_FRAME[:48, :64])
_INFO = _pickled(type="info")
_PREDICT, _RAW = predict_pickle(), predict_line()
_PIL_PICKLE = _pickled(type="predict", image=PIL.Image.fromarray(_FRAME))
_SMALL_PICKLE = _pickled(type="predict", image=_SMALL, seed=1, game=None)
_SMALL_MSGPACK = msgpack.packb(
    {"type": "predict", "image": {"shape": [48, 64, 3], "dtype": "uint8", "data": _SMALL.tobytes()}}
)
_PNG = png(240, 256)
_VAST_HEADER = b"IHDR" + struct.pack(">II", 60_000, 60_000) + _PNG[24:29]
_VAST_PNG = _PNG[:12] + _VAST_HEADER + struct.pack(">I", zlib.crc32(_VAST_HEADER)) + _PNG[33:]
_GADGETS = {
    "os.system": b"cposix\nsystem\n(S'true'\ntR.",
    "eval": b"c__builtin__\neval\n(S'1'\ntR.",
    "numpy.load": b"cnumpy\nload\n(S'/dev/null'\ntR.",
    "an extension": b"\x80\x02\x82\x01.",
    "a persistent id": b"\x80\x02U\x02idQ.",
}
_HUGE = {
    "memo index": b"\x80\x04r" + struct.pack("<I", 2**31) + b"N.",
    "bytes": b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b"x.",
    "bytearray": b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b"x.",
    "integer": b"\x80\x04\x8b" + struct.pack("<I", 100_000) + bytes(100_000) + b".",
    "depth": b"\x80\x04" + b"(" * 20_000 + b"t" * 20_000 + b".",
    "number of lists": b"\x80\x04" + b"]" * 100_000 + b".",
}

_GOOD = (
    Kind("pickle: predict", 20, _zmq(_PREDICT), (OK,)),
    Kind("pickle: predict, small image", 10, _zmq(_SMALL_PICKLE), (OK,)),
    Kind("pickle: predict, PIL image", 5, _zmq(_PIL_PICKLE), (OK,)),
    Kind("pickle: info", 120, _zmq(_INFO), (OK,)),
    Kind("pickle: reset", 120, _zmq(_pickled(type="reset")), (OK,)),
    Kind("pickle: info, a new client", 10, lambda caller: caller.zmq_as_somebody_else(_INFO), (OK,)),
    Kind("msgpack: predict", 15, _zmq(_SMALL_MSGPACK), (OK,)),
    Kind("msgpack: info", 60, _zmq(msgpack.packb({"type": "info"})), (OK,)),
    Kind("JSON: predict, raw", 20, _tcp(_RAW), (OK,)),
    Kind("JSON: predict, PNG", 10, _tcp(_sized(_PNG, b', "resize_mode": "crop"')), (OK,)),
    Kind("JSON: predict, JPEG", 5, _tcp(_sized(_file("JPEG", (320, 200)))), (OK,)),
    Kind("JSON: predict, BMP", 5, _tcp(b'{"type": "predict"}\n' + _file("BMP", (101, 77))), (OK,)),
    Kind("JSON: info", 120, _tcp(b'{"type": "info"}\n'), (OK,)),
    Kind("JSON: reset", 120, _tcp(b'{"type": "reset"}\n'), (OK,)),
    Kind("BizHawk: PNG", 10, _framed(_PNG), (OK,)),
    Kind("BizHawk: info", 60, _framed(b'{"type": "info"}'), (OK,)),
)
_BAD_BY_ZMQ = (
    *(Kind(f"pickle: {name}", 12, _zmq(payload), (ERROR,)) for name, payload in _GADGETS.items()),
    *(Kind(f"pickle: huge {name}", 5, _zmq(payload), (ERROR,)) for name, payload in _HUGE.items()),
    Kind("pickle: unknown type", 20, _zmq(_pickled(type="jump")), (ERROR,)),
    Kind("pickle: no dict", 10, _zmq(pickle.dumps([1, 2])), (ERROR,)),
    Kind("pickle: torn", 30, _torn(_SMALL_PICKLE), (ERROR,)),
    Kind("pickle: a byte flipped", 20, _flipped, (OK, ERROR)),
    Kind("pickle: image of floats", 5, _zmq(_pickled(type="predict", image=np.zeros((8, 8, 3)))), (ERROR,)),
    Kind("pickle: image without pixels", 5, _zmq(_pickled(type="predict", image=_FRAME[:0])), (ERROR,)),
    Kind("pickle: wrong seed", 5, _zmq(_pickled(type="predict", image=_SMALL, seed=-1)), (ERROR,)),
    Kind("pickle: unknown game", 5, _zmq(_pickled(type="predict", image=_SMALL, game="?")), (ERROR,)),
    Kind(
        "pickle: unknown model",
        0.3,  # a look-up in Triton takes up to half a second
        lambda caller: caller.zmq(_pickled(type="info", model=f"model-{caller.random.random()}")),
        (ERROR,),
    ),
    Kind("pickle: too large", 0.5, _zmq(_TOO_LARGE), (ERROR,)),
    Kind("msgpack: torn", 10, _torn(_SMALL_MSGPACK), (ERROR,)),
    Kind("random bytes", 20, lambda caller: caller.zmq(_random_bytes(caller)), (ERROR,)),
    Kind("no bytes", 5, _zmq(b""), (ERROR,)),
    Kind("leaves before the reply", 3, lambda caller: caller.leave_before_the_reply(_SMALL_PICKLE), (None,)),
    Kind(
        "a stranger to ZeroMQ",
        3,
        lambda caller: caller.hang_up(caller.endpoints.zmq, b"GET / HTTP/1.1\r\n\r\n"),
        (None,),
    ),
)
_BAD_BY_TCP = (
    Kind("JSON: random file", 10, lambda caller: caller.tcp(_sized(_random_bytes(caller))), (ERROR,)),
    Kind("JSON: half a PNG", 10, _tcp(_sized(_PNG[: len(_PNG) // 2])), (OK, ERROR)),
    Kind("JSON: PNG of gigabytes", 10, _tcp(_sized(_VAST_PNG)), (ERROR,)),
    Kind("JSON: wrong seed", 5, _tcp(b'{"type": "predict", "seed": true}\n' + _RAW[-196_608:]), (ERROR,)),
    Kind("BizHawk: random file", 5, lambda caller: caller.tcp_framed(b"?" + _random_bytes(caller)), (ERROR,)),
    Kind("JSON: garbage", 10, _end(b"{garbage\n"), (ERROR,)),
    Kind("JSON: unknown type", 5, _end(b'{"type": "jump"}\n'), (ERROR,)),
    Kind("JSON: line too long", 5, _end(b"{" + b"x" * 70_000), (ERROR,)),
    Kind("JSON: too deep", 5, _end(b'{"a":' * 1000 + b"1" + b"}" * 1000 + b"\n"), (ERROR,)),
    Kind("JSON: len too large", 5, _end(b'{"type": "predict", "len": 99999999999}\n'), (ERROR,)),
    Kind("BizHawk: no length", 5, _end(b"12x"), (ERROR,)),
    Kind("hangs up at once", 5, _hang_up(b""), (None,)),
    Kind("hangs up in a line", 5, _hang_up(b'{"type"'), (None,)),
    Kind("hangs up in an image", 5, _hang_up(_RAW[:100_000]), (None,)),
    Kind("hangs up before the reply", 5, _hang_up(_RAW), (None,)),
    Kind("hangs up before many replies", 3, _hang_up(b'{"type": "info"}\n' * 50), (None,)),
    Kind("stalls in a line", 3, lambda caller: caller.stall(b'{"type"'), (None,)),
    Kind("stalls in an image", 3, lambda caller: caller.stall(_RAW[:100_000]), (None,)),
)
ALL_KINDS = (*_GOOD, *_BAD_BY_ZMQ, *_BAD_BY_TCP)
