"""Frames go to a Triton on the same host through system shared memory instead of the connection.

Each gateway process has one region, and registers it whenever Triton has (re)started. A request takes a free
slot of it; if there is none, or the region is not registered yet, its frames go over the connection.

Unless a setting asks for it, the region is made once a Triton on this host answers, if it leaves as much room
as it takes, and is removed if Triton refuses it: a Triton in a container, for example, sees another /dev/shm.

A slot is free again once Triton has answered. After a request that was cancelled or timed out, Triton may
still read the slot, so nobody uses it until the connection is lost or `_QUARANTINE_S` have passed; no request
stays in Triton's queue for that time.

A killed gateway leaves its region behind. Each gateway locks its own as long as it lives, so the next one
that starts recognises old regions, removes their files, and unregisters them.
"""

import asyncio
import fcntl
import logging
import mmap
import os
import secrets
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from tritonclient.grpc import service_pb2

from contract.tensors import FRAME_BYTES
from gateway.errors import (
    BusyError,
    DeadlineError,
    ModelError,
    NotServedError,
    ServerError,
    StartError,
    TritonUnavailableError,
)
from gateway.protocol.messages import Frame
from gateway.triton.failures import KeyRefusedError, SharedMemoryLostError
from gateway.triton.rpc import (
    SHARED_MEMORY_REGISTER,
    SHARED_MEMORY_STATUS,
    SHARED_MEMORY_UNREGISTER,
    RequestT,
    ResponseT,
    Rpc,
)

logger = logging.getLogger(__name__)

FOLDER = Path("/dev/shm")  # noqa: S108 - where POSIX shared memory is on Linux
PREFIX = "nitrogen_gateway_frames_"
# Frames that fit into a slot; a request with a longer context goes over the connection.
SLOT_FRAMES = 4
# 24 MiB in all: Docker gives a container 64 MiB. More requests than this wait in Triton's queue anyway.
MAX_SLOTS = 32
_SLOT_BYTES = SLOT_FRAMES * FRAME_BYTES
_QUARANTINE_S = 60.0
_CALL_TIMEOUT_S = 2.0
_RETRY_S = 0.5
# Refusals in a row after which a region that no setting asks for is given up until there is another Triton. A
# single one may be due to a killed gateway's region that a request still uses.
_REFUSALS = 5
_POLL_S = 0.05
_SUBJECT = "shared memory"
# These mean that Triton has answered a request, and no longer reads its slot.
_ANSWERS = (ModelError, NotServedError, BusyError)


class Slot:
    """A request's place in the region, given back at the end of its `with`."""

    __slots__ = ("_frames", "number", "offset", "region")

    def __init__(self, frames: "SharedFrames", region: str, number: int) -> None:
        self._frames = frames
        self.region = region
        self.number = number
        self.offset = number * _SLOT_BYTES

    def __enter__(self) -> "Slot":
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if error is None or issubclass(error, _ANSWERS):
            self._frames.take_back(self.number)
        else:
            self._frames.take_back_later(self.number)
        if error is SharedMemoryLostError:
            self._frames.lost()


class Call(Protocol):
    """Calls Triton, and raises a ServerError if that fails."""

    async def __call__(
        self, rpc: Rpc[RequestT, ResponseT], request: RequestT, timeout_s: float, subject: str
    ) -> ResponseT:
        """Return the response to a request about a `subject`, in words for an error."""


class SharedFrames:
    """The shared memory of one gateway.

    Args:
        call: calls its Triton.
        wanted: how many requests there may be at once; the region has no more than `MAX_SLOTS` slots.
        is_required: whether a setting asks for it; else any obstacle makes the gateway do without.
    """

    def __init__(self, call: Call, wanted: int, *, is_required: bool = True) -> None:
        self.name = ""
        self._call = call
        slots = min(wanted, MAX_SLOTS)
        self._size = slots * _SLOT_BYTES
        self._is_required = is_required
        self._memory: mmap.mmap | None = None
        self._free = deque(range(slots))
        self._left: deque[tuple[float, int]] = deque()
        # How often Triton may have forgotten the region, and the same at the last registration.
        self._losses = 1
        self._losses_when_told = 0
        self._unregistered = asyncio.Event()
        self._unregistered.set()

    def open(self) -> None:
        """Make the region, after removing those of gateways that were killed.

        Raises:
            StartError: there is no room for it.
        """
        try:
            self._make()
        except OSError as error:
            raise StartError(
                f"--triton-shared-memory needs {self._size} bytes in {FOLDER}: {error.strerror}; make it "
                "larger (in Docker --shm-size), or leave the setting out"
            ) from None

    def _make(self) -> None:
        remove_left_overs()
        self._file, self.name = _locked_file()
        try:
            # Reserve it now: a write to missing memory would kill the process.
            os.posix_fallocate(self._file, 0, self._size)
            self._memory = mmap.mmap(self._file, self._size)
        except OSError:
            (FOLDER / self.name).unlink()
            os.close(self._file)
            raise

    async def close(self) -> None:
        """Unregister the region, and remove it."""
        if self._memory is not None:
            (FOLDER / self.name).unlink(missing_ok=True)
            if self._is_registered:
                await self._forget()
            self._remove()

    def _remove(self) -> None:
        if self._memory is not None:
            (FOLDER / self.name).unlink(missing_ok=True)
            self._memory.close()
            self._memory = None
            os.close(self._file)

    def take(self, frames: Sequence[Frame]) -> Slot | None:
        """Return a slot that holds the frames in order; None if they must go over the connection."""
        memory = self._memory
        if memory is None or not self._is_registered:
            return None
        while self._left and time.monotonic() - self._left[0][0] > _QUARANTINE_S:
            self._free.append(self._left.popleft()[1])
        if not self._free or len(frames) > SLOT_FRAMES:
            return None
        slot = Slot(self, self.name, self._free.popleft())
        place = slot.offset
        for frame in frames:
            memory[place : place + FRAME_BYTES] = frame
            place += FRAME_BYTES
        return slot

    def take_back(self, number: int) -> None:
        """Take a slot back that Triton no longer reads."""
        self._free.append(number)

    def take_back_later(self, number: int) -> None:
        """Take a slot back that Triton may still read."""
        self._left.append((time.monotonic(), number))

    def lost(self) -> None:
        """Register the region again, because Triton may not know it."""
        self._losses += 1
        self._unregistered.set()

    @property
    def _is_registered(self) -> bool:
        return self._losses_when_told == self._losses

    async def keep_registered(self) -> None:
        """Register the region whenever Triton does not know it; run until cancelled."""
        reported, refusals = "", 0
        while True:
            await self._unregistered.wait()
            self._unregistered.clear()
            losses = self._losses
            try:
                await self._register()
            except (ServerError, OSError) as error:
                refusals += _is_refusal(error)
                if not self._is_required and refusals == _REFUSALS:
                    logger.info(
                        "frames go to Triton over the connection, not through shared memory: %s", error
                    )
                    self._remove()
                    refusals = 0
                    continue
                if self._is_required and str(error) != reported:
                    logger.warning("frames go to Triton over the connection for now: %s", error)
                reported = str(error)
                await asyncio.sleep(_RETRY_S)
                self._unregistered.set()
                continue
            logger.info("frames go to Triton through the shared memory %s", self.name)
            reported, refusals = "", 0
            self._losses_when_told = losses
            # Requests of the lost connection no longer read them.
            while self._left:
                self._free.append(self._left.popleft()[1])

    async def _register(self) -> None:
        status = await self._call(
            SHARED_MEMORY_STATUS,
            service_pb2.SystemSharedMemoryStatusRequest(),
            _CALL_TIMEOUT_S,
            _SUBJECT,
        )
        for name in status.regions:
            if name.startswith(PREFIX) and not (FOLDER / name).exists():
                await self._unregister(name)
        if self._memory is None:
            free = _free_bytes()
            if free < 2 * self._size:
                raise OSError(f"{FOLDER} has {free} bytes free, but {2 * self._size} would be needed")
            self._make()
        if self.name not in status.regions:
            request = service_pb2.SystemSharedMemoryRegisterRequest(
                name=self.name, key=f"/{self.name}", offset=0, byte_size=self._size
            )
            await self._call(SHARED_MEMORY_REGISTER, request, _CALL_TIMEOUT_S, _SUBJECT)

    async def _forget(self) -> None:
        """Unregister the region; Triton refuses for a moment after a request has ended."""
        give_up = time.monotonic() + _CALL_TIMEOUT_S
        while True:
            try:
                return await self._unregister(self.name)
            except ServerError as error:
                if not isinstance(error, ModelError) or time.monotonic() > give_up:
                    logger.warning("Triton keeps the shared memory until it ends: %s", error)
                    return None
            await asyncio.sleep(_POLL_S)

    async def _unregister(self, name: str) -> None:
        request = service_pb2.SystemSharedMemoryUnregisterRequest(name=name)
        await self._call(SHARED_MEMORY_UNREGISTER, request, _CALL_TIMEOUT_S, _SUBJECT)


def _is_refusal(error: ServerError | OSError) -> bool:
    """Return whether Triton or the system refused; else Triton could not be reached."""
    if isinstance(error, KeyRefusedError | NotServedError):
        return True
    return not isinstance(error, DeadlineError | TritonUnavailableError)


def _free_bytes() -> int:
    room = os.statvfs(FOLDER)
    return room.f_bavail * room.f_frsize


def remove_left_overs() -> None:
    """Remove the regions of gateways that have ended."""
    for path in FOLDER.glob(f"{PREFIX}*"):
        try:
            file = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
        except OSError:
            continue  # another user's, or already gone
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)
        except OSError:
            continue  # its gateway is alive
        finally:
            os.close(file)


def _locked_file() -> tuple[int, str]:
    """Return a new file with its owner's lock on it, and its name."""
    while True:
        name = f"{PREFIX}{os.getpid()}_{secrets.token_hex(4)}"
        file = os.open(FOLDER / name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        fcntl.flock(file, fcntl.LOCK_EX)
        # Another gateway that started at this moment may have removed it as a left-over.
        if os.fstat(file).st_nlink:
            return file, name
        os.close(file)
