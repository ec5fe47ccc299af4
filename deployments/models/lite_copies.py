"""Frames on their way from the device to the host, while the next ones are drawn."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch

from deployments.models.facemesh import Pixels

AHEAD = 1
"""Chunks that are drawn before the oldest is handed out: one copies while one is drawn."""


def to_device(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """A small tensor of the host on `device`, without waiting for what the device has to do before."""
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


class Copies:
    """Copies off one device: through pinned memory and a stream of their own on a GPU, plain elsewhere.

    Each copy has a buffer of its own, which lives as long as somebody holds its array: nothing is overwritten, however late it is
    read. Torch keeps released pinned buffers for the next copy, and only those whose copy is over.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._side = torch.cuda.Stream(device) if device.type == "cuda" else None

    def start(self, frames: torch.Tensor) -> Callable[[], Pixels]:
        """Starts the copy of uint8 `frames`, which nobody may change any more; what is returned waits for its end."""
        if self._side is None:
            return lambda: np.asarray(frames.cpu().numpy(), np.uint8)
        host = torch.empty(frames.shape, dtype=frames.dtype, pin_memory=True)
        done = torch.cuda.Event()
        self._side.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._side):
            host.copy_(frames, non_blocking=True)
            frames.record_stream(self._side)  # its memory is not given to the next chunk before the copy is over
            done.record(self._side)

        def finish() -> Pixels:
            done.synchronize()
            return np.asarray(host.numpy(), np.uint8)

        return finish


def taken_off(chunks: Iterable[torch.Tensor], copies: Copies, ahead: int = AHEAD) -> Iterator[Pixels]:
    """The chunks on the host, in their order; up to `ahead` more of them are drawn before one is waited for."""
    waiting: deque[Callable[[], Pixels]] = deque()
    for chunk in chunks:
        waiting.append(copies.start(chunk))
        if len(waiting) > ahead:
            yield waiting.popleft()()
    while waiting:
        yield waiting.popleft()()
