"""Freed memory: it stays for the next frames, up to a limit."""

import subprocess
import sys

_PROGRAM = """
import resource
from contract.tensors import FRAME_BYTES
from gateway.memory import keep_memory_for_frames

def resident_kib():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))

keep_memory_for_frames()
def requests(count):
    for _ in range(count):
        stages = [b"1" * FRAME_BYTES for _ in range(6)]
requests(10)
faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
requests(100)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults)
before = resident_kib()
flood = [b"1" * FRAME_BYTES for _ in range(1000)]
assert resident_kib() > before + 180_000
del flood
print(resident_kib() - before)
"""


def test_frames_reuse_memory_and_a_flood_gives_it_back() -> None:
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True)
    page_faults, kept_kib = map(int, done.stdout.split())
    assert page_faults < 100  # without it, 100 times the pages of six frames: 28,800
    assert kept_kib < 40 * 2**10
