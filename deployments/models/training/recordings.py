"""Real recordings with their texts, for figures: two that ship with the project, more from a folder if there is one.

The folder is named by SONOSCOPE_SPEECH_DIR; it may hold any of FILES, at any depth.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from deployments.media.audio import decode_audio
from deployments.models.training.align import align
from deployments.models.training.speech import Phone

SHIPPED = Path(__file__).parents[3] / "sonoscope" / "media"
FOLDER_VARIABLE = "SONOSCOPE_SPEECH_DIR"
FILES = {
    "speech_en.wav": (
        "en-us",
        "and mister john dashwood had then leisure to consider how much there might be prudently in his power to do for them",
    ),
    "speech_zh.wav": ("cmn", "广州市房地产中介协会分析"),
    "speech2_en_librivox_0920.wav": (
        "en-us",
        "had he married a more amiable woman he might have been made still more respectable than he was",
    ),
    "speech_en_woman_ljspeech_LJ001-0001.wav": (
        "en-us",
        "Printing, in the only sense with which we are at present concerned, differs from most if not from all the arts and crafts "
        "represented in the Exhibition",
    ),
    "speech_en_man_jfk_inaugural.flac": (
        "en-us",
        "And so, my fellow Americans, ask not what your country can do for you, ask what you can do for your country.",
    ),
}
"""Name: voice that speaks the text for the alignment, and the text."""


@dataclass(frozen=True)
class Recording:
    """A real voice and its aligned sounds."""

    name: str
    samples: npt.NDArray[np.float32]
    phones: tuple[Phone, ...]


def recordings() -> tuple[list[Recording], list[str]]:
    """What can be read, and for each missing file why."""
    folder = os.environ.get(FOLDER_VARIABLE)
    found, missing = [], []
    for name, (voice, text) in FILES.items():
        paths = [SHIPPED / name] if (SHIPPED / name).exists() else sorted(Path(folder).rglob(name)) if folder else []
        if paths:
            samples = decode_audio(paths[0]).samples
            found.append(Recording(name, samples, align(samples, text, voice)))
        else:
            missing.append(f"{name}: {'not in ' + folder if folder else FOLDER_VARIABLE + ' names no folder'}")
    return found, missing
