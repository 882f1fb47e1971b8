"""The Docker Engine, by its command line."""

import subprocess


def docker(*arguments: str) -> str:
    """Run a docker command and return its output; raise AssertionError with its errors if it fails."""
    run = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=240, check=False)
    said = run.stdout + run.stderr
    assert run.returncode == 0, f"docker {' '.join(arguments)}: {said}"
    return run.stdout if arguments[0] != "logs" else said
