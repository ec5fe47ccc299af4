"""Small media, made on the fly by ffmpeg."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from deployments.media.command import ffmpeg_binary

SPEECH = Path(__file__).parents[3] / "sonoscope" / "media" / "speech_en.wav"

RunFfmpeg = Callable[..., Path]


@pytest.fixture(scope="session")
def speech() -> Path:
    """7.1 s of English, 16 kHz mono."""
    return SPEECH


@pytest.fixture
def make(tmp_path: Path) -> RunFfmpeg:
    """`make(name, *arguments)` runs ffmpeg and returns the file it made."""

    def run(name: str, *arguments: object) -> Path:
        target = tmp_path / name
        command = [ffmpeg_binary(), "-nostdin", "-loglevel", "error", "-y", *map(str, arguments), str(target)]
        subprocess.run(command, check=True, capture_output=True, timeout=30)
        return target

    return run
