"""NITROGEN_TEST_BACKENDS=DIR: the tests' Tritons get another backend directory, such as a Triton container's.

    NITROGEN_TEST_BACKENDS=/opt/tritonserver/backends pytest tests/chain -m "not python_stub"

DIR holds `pytorch` and `onnxruntime`, which find their own libraries; the backend `python` stays the wheel's.
Tests that expect the standalone's own backends have the mark `python_stub`.

As a program this is `python -m standalone` with those backends.
"""

import os
import sys
from functools import partial
from pathlib import Path

_FOLDER = os.environ.get("NITROGEN_TEST_BACKENDS")
STANDALONE = [__file__] if _FOLDER else ["-m", "standalone"]


def use_other_backends() -> None:
    """Have `assemble_backends` take them; before anything else has imported it."""
    if _FOLDER:
        from standalone import triton_wheel  # noqa: PLC0415 - it is found only once the path is complete

        assert "standalone.triton_server" not in sys.modules
        triton_wheel.assemble_backends = partial(
            triton_wheel.assemble_backends, others=Path(_FOLDER).resolve(strict=True)
        )


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parents[1])
    use_other_backends()
    from standalone.__main__ import main

    sys.exit(main())
