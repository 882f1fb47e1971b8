"""Triton as a container's program: `python -m standalone.triton_container FLAGS...`.

The flags are tritonserver's own. It runs the wheel's server, with backends in the temporary folder, which
must allow programs to run; or, if NITROGEN_TRITONSERVER names one, an image's own server with its own
backends. The keeper ends it when one of its stubs has died, so that the container restarts.
"""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from standalone import keeper
from standalone.errors import StandaloneError
from standalone.triton_wheel import assemble_backends, find_triton_wheel

_SHM_PREFIX = "nitrogen_"
# Triton itself waits for requests in flight as long as --exit-timeout-secs says; then it is killed.
_GRACE_S = 15.0


def main() -> int:
    """Run tritonserver until it ends or SIGTERM comes; its exit code, or 1 after one sentence on stderr."""
    # Not in the image: Triton sets the stub's mode, which a read-only file system refuses.
    scratch = Path(tempfile.mkdtemp(prefix="nitrogen-"))
    environment = dict(os.environ)
    if images_own := os.environ.get("NITROGEN_TRITONSERVER"):
        command = [images_own, *sys.argv[1:]]
    else:
        try:
            wheel = find_triton_wheel()
        except StandaloneError as error:
            sys.stderr.write(f"tritonserver: {error}\n")
            return 1
        backends = scratch / "backends"
        assemble_backends(wheel, backends)
        command = [str(wheel.server), *sys.argv[1:], f"--backend-directory={backends}"]
        environment = wheel.environment()
    command.append(f"--backend-config=python,shm-region-prefix-name={_SHM_PREFIX}")
    kept = subprocess.Popen(  # noqa: S603 - the command is the operator's own
        [sys.executable, keeper.__file__, _SHM_PREFIX, str(scratch), str(_GRACE_S), *command],
        stdin=subprocess.PIPE,
        env=environment,
    )

    def stop(*_: object) -> None:
        assert kept.stdin is not None  # noqa: S101 - it was made with a pipe
        kept.stdin.close()  # the keeper's sign to end

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    return kept.wait()


if __name__ == "__main__":
    sys.exit(main())
