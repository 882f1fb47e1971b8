"""A recorded predict as a file: a tar of the received image, the frame that the model saw, and a JSON text.

A report of what was really pressed is a file of the same kind, with only a JSON text (played.json).

    20261122T142734.123456Z_tcp_192.168.1.20-51123_3fa9c1-2b.tar
        predict.json    who, when, parameters, reply
        image.png       the image file as it came (image.ppm for pixels; none if they were the frame itself)
        frame.ppm       256x256 RGB

Names sort by time. Pictures are uncompressed PPM, which viewers know: compression would take more CPU time
than the rest of the gateway.
"""

import io
import json
import re
import tarfile
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from contract.gamepad import CHUNK_WIDTHS
from contract.tensors import FRAME_BYTES, FRAME_SHAPE, FRAME_SIDE
from gateway.protocol.messages import ActionChunk, Image, ImageFile, Pixels, Played, Reply, Request, Unset

Part = bytes | bytearray | memoryview

_TIME_FORMAT = "%Y%m%dT%H%M%S.%fZ"
_NAME = re.compile(r"(\d{8}T\d{6}\.\d{6}Z)_([a-z0-9]+)_([A-Za-z0-9.-]*)_([A-Za-z0-9.-]*)\.tar")
_UNSAFE = re.compile(r"[^A-Za-z0-9.-]+")
_MAX_CHARACTERS = 64
_MAGICS = {
    b"\x89PNG\r\n\x1a\n": "png",
    b"\xff\xd8\xff": "jpg",
    b"BM": "bmp",
    b"GIF8": "gif",
    b"RIFF": "webp",
    b"II*\0": "tif",
    b"MM\0*": "tif",
}
_PPM_HEAD = b"P6\n%d %d\n255\n"
_FRAME_HEAD = _PPM_HEAD % (FRAME_SIDE, FRAME_SIDE)


class RecordingError(Exception):
    """A file is not a readable recording; the message names it and says why."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """One predict or `played`: what came in, what the model saw, what went out.

    Attributes:
        began: seconds since the epoch, when its last byte came.
        port: its name.
        client: the address or identity, safe to print.
        request_id: as in logs and at Triton.
        frame: (256, 256, 3) uint8 bytes, None if there is no usable image.
        total_s: seconds from its last byte to its reply.
        episode: how often the client was reset before.
    """

    began: float
    port: str
    client: str
    request_id: str
    request: Request
    frame: bytes | None
    reply: Reply
    total_s: float
    episode: int = 0


@dataclass(frozen=True, slots=True)
class RecordedPredict:
    """One predict, read from its file.

    Attributes:
        began: when its last byte came.
        frame: (256, 256, 3) uint8 RGB, None if the image was not usable.
        chunk: the actions, None if there was an `error` instead.
        fields: everything in predict.json.
    """

    began: datetime
    client: str
    frame: NDArray[np.uint8] | None
    chunk: ActionChunk | None
    error: str | None
    fields: dict[str, Any]


@dataclass(frozen=True, slots=True)
class RecordedPlayed:
    """A client's report of what was really pressed, read from its file.

    Attributes:
        began: when its last byte came.
        fields: everything in played.json, with `tick` and `rows`.
    """

    began: datetime
    client: str
    fields: dict[str, Any]


def recording_name(exchange: Exchange) -> str:
    """Return the file's name, in safe characters whatever the client's name is."""
    began = datetime.fromtimestamp(exchange.began, UTC)
    return (
        f"{began.strftime(_TIME_FORMAT)}_{exchange.port}_{safe_name(exchange.client)}_"
        f"{safe_name(exchange.request_id)}.tar"
    )


def safe_name(text: str) -> str:
    """Return a text for recordings' names: at most 64 letters, digits, dots and hyphens."""
    return _UNSAFE.sub("-", text[: 4 * _MAX_CHARACTERS])[:_MAX_CHARACTERS]


def is_recording(name: str) -> bool:
    """Return whether a file has a name from `recording_name`."""
    return _NAME.fullmatch(name) is not None


def client_of(name: str) -> str:
    """Return the client in a recording's name."""
    found = _NAME.fullmatch(name)
    return "" if found is None else found[3]


def pack(exchange: Exchange) -> list[Part]:
    """Return the file's bytes in parts, most of them without copying."""
    members: list[tuple[str, list[Part]]]
    if exchange.request.played is not None:
        members = [("played.json", [_played_json(exchange, exchange.request.played)])]
    else:
        image_name, image = _image_member(exchange.request.image, exchange.frame)
        members = [("predict.json", [_predict_json(exchange, image_name)])]
        if image:
            members.append((image_name, image))
        if exchange.frame is not None:
            members.append(("frame.ppm", [_FRAME_HEAD, exchange.frame]))
    parts: list[Part] = []
    for name, contents in members:
        entry = tarfile.TarInfo(name)
        entry.size = sum(len(content) for content in contents)
        entry.mtime = int(exchange.began)
        parts.append(entry.tobuf(tarfile.USTAR_FORMAT))
        parts += contents
        parts.append(bytes(-entry.size % tarfile.BLOCKSIZE))
    parts.append(bytes(2 * tarfile.BLOCKSIZE))
    return parts


def read_recording(path: Path) -> RecordedPredict | RecordedPlayed:
    """Return the predict or the report in a file.

    Raises:
        RecordingError: it is not a recording.
        OSError: it cannot be read.
    """
    try:
        with tarfile.open(fileobj=io.BytesIO(path.read_bytes()), mode="r:") as archive:
            members = {entry.name: entry for entry in archive if entry.isfile()}
            if "played.json" in members:
                return _read_played(json.loads(_content(archive, members["played.json"])))
            fields = json.loads(_content(archive, members["predict.json"]))
            frame = _content(archive, members["frame.ppm"]) if "frame.ppm" in members else None
        reply = fields["reply"]
        pred = reply.get("pred")
        return RecordedPredict(
            datetime.fromisoformat(fields["began"]),
            str(fields["client"]),
            None if frame is None else _read_frame(frame),
            None if pred is None else _read_chunk(pred),
            reply.get("message"),
            fields,
        )
    except (
        tarfile.TarError,
        ArithmeticError,
        AttributeError,
        EOFError,
        LookupError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        raise RecordingError(f"{path.name} is not a readable recording ({error})") from error


def _head(exchange: Exchange) -> dict[str, object]:
    """Return the fields that every recording begins with: who and when."""
    began = datetime.fromtimestamp(exchange.began, UTC)
    return {
        "format": 1,
        "began": began.isoformat(timespec="microseconds"),
        "port": exchange.port,
        "client": exchange.client,
        "request_id": exchange.request_id,
        "episode": exchange.episode,
        "total_ms": round(exchange.total_s * 1000, 3),
    }


def _played_json(exchange: Exchange, played: Played) -> bytes:
    return json.dumps(_head(exchange) | asdict(played)).encode()


def _predict_json(exchange: Exchange, image_name: str) -> bytes:
    request = exchange.request
    fields = _head(exchange) | {
        "image": image_name or None,
        "model": request.model,
        "seed": request.seed,
        "noise": asdict(request.noise) or "fresh",
        "tick": request.tick,
        "timing": request.timing,
    }
    if request.previous is not None:
        fields["previous"] = {name: getattr(request.previous, name).tolist() for name in CHUNK_WIDTHS}
        fields["delay"] = request.previous.delay
    if isinstance(request.image, ImageFile):
        fields["resize_mode"] = request.image.resize_mode
    if not isinstance(request.game, Unset):
        fields["game"] = request.game
    return b'%b,"reply":%b}' % (json.dumps(fields)[:-1].encode(), _reply_json(exchange.reply))


def _reply_json(reply: Reply) -> bytes:
    chunk = reply.chunk
    if chunk is None:
        return json.dumps({"status": "error", "message": reply.error}).encode()
    pred = {name: np.ascontiguousarray(getattr(chunk, name), np.float32) for name in CHUNK_WIDTHS}
    # The standard library's json would block the event loop ten times as long.
    return b'{"status":"ok","pred":%b}' % orjson.dumps(pred, option=orjson.OPT_SERIALIZE_NUMPY)


def _image_member(image: Image | None, frame: bytes | None) -> tuple[str, list[Part]]:
    """Return the received image's name and bytes; no bytes if the image was the frame itself."""
    if isinstance(image, ImageFile):
        suffix = next((kind for magic, kind in _MAGICS.items() if image.data.startswith(magic)), None)
        if suffix is None and frame is not None and len(image.data) == FRAME_BYTES:
            return "frame.ppm", []
        return f"image.{suffix or 'bin'}", [image.data]
    if isinstance(image, Pixels) and image.rgb.shape != FRAME_SHAPE:
        height, width, _ = image.rgb.shape
        return "image.ppm", [_PPM_HEAD % (width, height), np.ascontiguousarray(image.rgb).data.cast("B")]
    return ("", []) if image is None or frame is None else ("frame.ppm", [])


def _read_played(fields: dict[str, Any]) -> RecordedPlayed:
    return RecordedPlayed(datetime.fromisoformat(fields["began"]), str(fields["client"]), fields)


def _content(archive: tarfile.TarFile, entry: tarfile.TarInfo) -> bytes:
    reader = archive.extractfile(entry)
    content = b"" if reader is None else reader.read()
    if len(content) != entry.size:
        raise ValueError(f"{entry.name} is incomplete")
    return content


def _read_frame(ppm: bytes) -> NDArray[np.uint8]:
    if not ppm.startswith(_FRAME_HEAD) or len(ppm) != len(_FRAME_HEAD) + FRAME_BYTES:
        raise ValueError("frame.ppm is not a frame of 256x256")
    return np.frombuffer(ppm, np.uint8, offset=len(_FRAME_HEAD)).reshape(FRAME_SHAPE)


def _read_chunk(pred: dict[str, Any]) -> ActionChunk:
    arrays = [np.asarray(pred[name], np.float32) for name in CHUNK_WIDTHS]
    if [array.ndim for array in arrays] != [2, 2, 2] or len({len(array) for array in arrays}) != 1:
        raise ValueError("its actions are of unequal length")
    if [array.shape[1] for array in arrays] != list(CHUNK_WIDTHS.values()):
        raise ValueError("its actions are not two sticks and 21 buttons")
    return ActionChunk(*arrays)
