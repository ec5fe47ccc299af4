"""What the encoder's ffmpeg may use: it reads the uploaded recording a second time, for the soundtrack."""

from __future__ import annotations

import resource
from dataclasses import dataclass

_START_BYTES, _BYTES_A_PIXEL, _BYTES_A_THREAD = 2 << 30, 400, 128 << 20
"""Address space. Measured with two threads of x264 veryfast on noise, its worst case: 0.82 GB at 128 x 128, 0.97 GB at 1024 x 1024,
1.77 GB at 3000 x 3000; so about 110 bytes a pixel. Twice to four times that is allowed."""
_START_S, _S_A_PIXEL = 60.0, 0.5e-6
"""Processor time. 0.05 µs a pixel and frame were measured on noise; ten times that is allowed."""
_START_FILE_BYTES = 64 << 20
"""Size of the file: no frame is larger than its raw colours, and the sound of an hour takes 58 MB at 128 kbit/s."""


@dataclass(frozen=True)
class EncoderBounds:
    """Limits of one run; `memory_bytes` is None where CUDA reserves address space as it likes (NVENC)."""

    cpu_s: int
    file_bytes: int
    memory_bytes: int | None

    @classmethod
    def of(cls, pixels: int, frames: int, threads: int, *, on_gpu: bool) -> EncoderBounds:
        """For `frames` pictures; `pixels` of the larger of what goes in and what comes out."""
        return cls(
            cpu_s=round(_START_S + frames * pixels * _S_A_PIXEL),
            file_bytes=_START_FILE_BYTES + 3 * frames * pixels,
            memory_bytes=None if on_gpu else _START_BYTES + _BYTES_A_PIXEL * pixels + _BYTES_A_THREAD * threads,
        )

    def bind(self, pid: int) -> None:
        """Binds a process that has just started. Raises OSError, ProcessLookupError where it is gone already."""
        limits = {
            resource.RLIMIT_CPU: self.cpu_s,
            resource.RLIMIT_FSIZE: self.file_bytes,
            resource.RLIMIT_AS: self.memory_bytes,
            resource.RLIMIT_CORE: 0,
        }
        for name, limit in limits.items():
            if limit is not None:
                _, hard = resource.prlimit(pid, name)
                bound = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
                resource.prlimit(pid, name, (bound, bound))
