"""The device of inference: which one, how much of its memory, whose its seconds are, and what happens when it is full."""

from __future__ import annotations

import gc
import resource
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import torch

_FULL = ("can't allocate memory", "CUDA out of memory", "CUDNN_STATUS_ALLOC_FAILED", "CUBLAS_STATUS_ALLOC_FAILED")
"""Words of a plain RuntimeError that means "no memory": torch's own on the CPU, and those of CUDA's other libraries."""


def pick_device(asked: str) -> str:
    """The torch device: `auto` takes the first GPU that Ray gave this replica, else the CPU."""
    if asked != "auto":
        return asked
    return "cuda:0" if torch.cuda.is_available() else "cpu"


def described(device: str) -> str:
    """`device` as spans name it: `cpu`, or a GPU with its model and memory, such as `cuda:0 NVIDIA L4 23 GB`."""
    if not device.startswith("cuda"):
        return device
    about = torch.cuda.get_device_properties(device)
    return f"{device} {about.name} {about.total_memory / 1e9:.0f} GB"


def limit_memory(device: str, *, share: float | None) -> None:
    """Bounds this process to `share` of a GPU's memory; beyond it an allocation fails, which `out_of_memory` recognises.

    There is no such bound of the host's memory: in a replica, which runs Ray's threads as well, the request after a refused one
    found the process dead (RLIMIT_DATA, 150 MiB, seen once). Raises ValueError.
    """
    if share is not None and device.startswith("cuda"):
        torch.cuda.set_per_process_memory_fraction(share, torch.device(device))


def out_of_memory(error: BaseException | None) -> bool:
    """Whether `error` says that there was no memory, of the device or of the host."""
    match error:
        case MemoryError() | torch.OutOfMemoryError():
            return True
        case cv2.error():
            return error.code == cv2.Error.StsNoMem
        case RuntimeError():
            return any(words in str(error) for words in _FULL)
        case _:
            return False


def recover(error: BaseException, device: str) -> None:
    """Lets go of what a failed request still holds, so that the next one finds the memory free.

    An exception keeps the variables of every function that it went through, and with them the tensors of the request.
    """
    one: BaseException | None = error
    while one is not None:
        traceback.clear_frames(one.__traceback__)
        one = one.__cause__ or one.__context__
    gc.collect()
    if device.startswith("cuda"):
        torch.cuda.empty_cache()


def memory(device: str) -> dict[str, float]:
    """Peaks in MiB: of this process's resident memory since its start, and on a GPU of its tensors since `Turns` was last idle."""
    peak = {"peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
    if device.startswith("cuda"):
        peak["device_memory_mb"] = torch.cuda.max_memory_allocated(device) / 2**20
    return peak


class Turns:
    """Shares the device's seconds among the requests that are at work on it: what `n` do at a time, each is charged an n-th of.

    The sum over the requests is the time in which the device was busy, as the price of a job that scaling reckons with must be.
    """

    def __init__(self, device: str) -> None:
        self._device = device
        self._lock = threading.Lock()
        self._active = 0
        self._clock = self._since = 0.0

    def enter(self) -> float:
        """Counts the caller in; the clock of the shared time, s."""
        with self._lock:
            if self._active == 0 and self._device.startswith("cuda"):
                torch.cuda.reset_peak_memory_stats(self._device)
            return self._moved(1)

    def leave(self, entered: float) -> float:
        """Counts the caller out; its share since `entered`, s."""
        with self._lock:
            return self._moved(-1) - entered

    def _moved(self, by: int) -> float:
        now = time.monotonic()
        if self._active:
            self._clock += (now - self._since) / self._active
        self._since = now
        self._active += by
        return self._clock


class Turn:
    """One request's time on the device."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._entered: float | None = None
        self.seconds = 0.0

    def __enter__(self) -> Turn:
        self._entered = self._turns.enter()
        return self

    def __exit__(self, *_: object) -> None:
        if self._entered is not None:
            self.seconds += self._turns.leave(self._entered)
            self._entered = None

    @contextmanager
    def paused(self) -> Iterator[None]:
        """The time inside is not on the device: the request waits for somebody else."""
        self.__exit__()
        try:
            yield
        finally:
            self.__enter__()
