"""Windows of all requests that are at work, computed by the network in common batches.

Nothing waits for a batch to fill: whatever has come in while the last batch ran is the next one (as in deployments/batching.py, but
between threads). A batch holds windows of any lengths, steps and noise levels: shorter ones are filled up, and the network is told
where each ends, so that a window's result is what it is alone.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from deployments.device import out_of_memory
from deployments.models.motion_net import CHANNELS, MotionNet


@dataclass(eq=False)
class _Window:
    """One window and, in the end, its result or its error."""

    x: Tensor
    level: Tensor | None
    """Noise level of a denoising step; None: to be listened to."""
    out: Tensor | None = None
    error: Exception | None = None

    @property
    def done(self) -> bool:
        return self.out is not None or self.error is not None


class Together:
    """The network, for any number of threads, at most `most` windows at a time.

    `compiled`: through torch.compile, which needs a C++ compiler and half a minute at the first request.
    """

    def __init__(self, net: MotionNet, most: int, *, compiled: bool = False) -> None:
        self.net = net
        self.batches = self.windows = 0
        """How many there have been."""
        self._most = most
        self._listen: Callable[..., Tensor] = torch.compile(net.listen, dynamic=True) if compiled else net.listen
        self._step: Callable[..., Tensor] = torch.compile(net.forward, dynamic=True) if compiled else net.forward
        self._waiting: deque[_Window] = deque()
        self._lock, self._running = threading.Lock(), threading.Lock()

    def listen(self, mels: Sequence[Tensor]) -> list[Tensor]:
        """What the denoiser hears, (7 WIDTH, frames) each, of spectrograms (MELS, 2 frames). Raises what the network raises."""
        return self._all([_Window(mel, None) for mel in mels])

    def step(self, windows: Sequence[Tensor], level: Tensor) -> list[Tensor]:
        """v, (CHANNELS, frames) each, of windows (CHANNELS + 7 WIDTH, frames) at a noise `level` (). Raises as `listen`."""
        return self._all([_Window(x, level) for x in windows])

    def _all(self, mine: list[_Window]) -> list[Tensor]:
        with self._lock:
            self._waiting.extend(mine)
        while not all(one.done for one in mine):
            with self._running:  # whoever comes first works for all
                if not all(one.done for one in mine):
                    self._work(self._next())
        for one in mine:
            if one.error is not None:
                raise one.error
        return [one.out for one in mine if one.out is not None]

    def _next(self) -> list[_Window]:
        """The oldest window and those of its kind that have come since, in their order."""
        with self._lock:
            kind = self._waiting[0].level is None
            chosen = [one for one in self._waiting if (one.level is None) == kind][: self._most]
            for one in chosen:
                self._waiting.remove(one)
        return chosen

    def _work(self, batch: list[_Window]) -> None:
        """Fills in results or errors. A batch for which there is no memory is tried again in halves: each may fit."""
        try:
            found = self._run(batch)
        except Exception as error:  # it belongs to the members, who raise it; the next batch goes on
            if len(batch) == 1 or not out_of_memory(error):
                for one in batch:
                    one.error = error
                return
        else:
            for one, out in zip(batch, found, strict=True):
                one.out = out
            return
        if batch[0].x.is_cuda:
            torch.cuda.empty_cache()
        half = len(batch) // 2
        self._work(batch[:half])
        self._work(batch[half:])

    def _run(self, batch: list[_Window]) -> list[Tensor]:
        self.batches += 1
        self.windows += len(batch)
        lengths = [one.x.shape[-1] for one in batch]
        longest = max(lengths)
        x = torch.stack([torch.nn.functional.pad(one.x, (0, longest - one.x.shape[-1])) for one in batch])
        per_frame = 2 if batch[0].level is None else 1
        frames = [length // per_frame for length in lengths]
        inside = None
        if min(lengths) < longest:
            ends = torch.tensor(frames, device=x.device)[:, None, None]
            inside = (torch.arange(longest // per_frame, device=x.device) < ends).to(x.dtype)
        levels = [one.level for one in batch if one.level is not None]
        if not levels:
            out = self._listen(x, inside)
        else:
            out = self._step(x[:, : len(CHANNELS)], x[:, len(CHANNELS) :], torch.stack(levels).to(x.device), inside)
        return [part[:, :n] for part, n in zip(out, frames, strict=True)]
