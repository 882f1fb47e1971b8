"""Writes this folder's pickles with the numpy and Pillow of the Python that runs it.

Run once in one environment for each pair of versions:

    python make_pickles.py

Each member of the archive is the message of a real client: pickle.dumps of a request. The pixels follow
formulas, so that the tests know them without this script: `blocks` for 256x256, `small` for 20x12.
"""

import io
import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import PIL
import PIL.Image

HERE = Path(__file__).parent


def blocks() -> np.ndarray:
    """(256, 256, 3): the column and the row, rounded down to multiples of 32, and 7."""
    rows, columns = np.mgrid[0:256, 0:256] // 32 * 32
    return np.stack([columns, rows, np.full_like(rows, 7)], axis=2).astype(np.uint8)


def small() -> np.ndarray:
    """(12, 20, 3): 12 x column, 20 x row, and their sum modulo 256."""
    rows, columns = np.mgrid[0:12, 0:20]
    return np.stack([columns * 12, rows * 20, columns * 12 + rows * 20], axis=2).astype(np.uint8)


def reopened(image: PIL.Image.Image, file_format: str) -> PIL.Image.Image:
    """The image as PIL opens it from a file: an instance of the format's own class."""
    buffer = io.BytesIO()
    image.save(buffer, file_format)
    buffer.seek(0)
    opened = PIL.Image.open(buffer)
    opened.load()
    return opened


def requests() -> Iterator[tuple[str, dict[str, object]]]:
    """Name and request of every file."""
    rgb = PIL.Image.fromarray(small())
    yield "array-256", {"type": "predict", "image": blocks()}
    yield "pil-256", {"type": "predict", "image": PIL.Image.fromarray(blocks())}
    yield "array", {"type": "predict", "image": small()}
    yield "array-fortran", {"type": "predict", "image": np.asfortranarray(small())}
    transposed = small().transpose(1, 0, 2).copy().transpose(1, 0, 2)
    yield "array-transposed", {"type": "predict", "image": transposed}
    yield "array-grey", {"type": "predict", "image": small()[:, :, 0].copy()}
    yield "array-float", {"type": "predict", "image": small().astype(np.float32)}
    yield "array-objects", {"type": "predict", "image": np.array([[{}, 1]], dtype=object)}
    yield "array-records", {"type": "predict", "image": np.zeros(3, dtype=[("r", "u1"), ("g", "u1")])}
    yield "pil-rgb", {"type": "predict", "image": rgb}
    yield "pil-rgba", {"type": "predict", "image": rgb.convert("RGBA")}
    yield "pil-l", {"type": "predict", "image": PIL.Image.fromarray(small()[:, :, 0].copy())}
    palette = rgb.quantize(16)
    yield "pil-p", {"type": "predict", "image": palette}
    yield "array-of-p", {"type": "predict", "image": np.asarray(palette.convert("RGB"))}
    yield "pil-1", {"type": "predict", "image": rgb.convert("1")}
    yield "pil-png", {"type": "predict", "image": reopened(rgb, "PNG")}
    yield "pil-bmp", {"type": "predict", "image": reopened(rgb, "BMP")}
    jpeg = reopened(rgb, "JPEG")
    yield "pil-jpeg", {"type": "predict", "image": jpeg}
    yield "array-of-jpeg", {"type": "predict", "image": np.asarray(jpeg)}
    yield (
        "options",
        {"type": "predict", "image": small(), "seed": np.int64(7), "game": np.uint8(3), "timing": np.True_},
    )
    yield "reset", {"type": "reset"}
    yield "info", {"type": "info"}


def main() -> None:
    path = HERE / f"numpy-{np.__version__}-pillow-{PIL.__version__}.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, request in requests():
            for protocol in range(2, 6):
                # A ZipInfo is dated 1980, so that each run writes the same archive.
                member = zipfile.ZipInfo(f"{name}.protocol{protocol}.pickle")
                archive.writestr(member, pickle.dumps(request, protocol=protocol), zipfile.ZIP_DEFLATED, 9)


if __name__ == "__main__":
    main()
