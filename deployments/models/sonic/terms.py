"""What `sonic` takes of the parameters. Light: the door reads it without loading a model."""

from __future__ import annotations

from collections.abc import Mapping

FPS = 25.0
"""Frames a second that come out: Sonic draws 12.5 and doubles them; another rate would only be another label on the same frames."""

MOST_DRAWN = 5_000
"""Frames that Sonic draws at most: beyond them (`frame_num: 10000` in its config) it cuts the speech without a word."""

MOST_FRAMES = 2 * MOST_DRAWN - 1
"""Frames that can come out: one between each two that are drawn."""

PARAMETERS: Mapping[str, tuple[float, float]] = {"fps": (FPS, FPS), "duration_s": (0.5, MOST_FRAMES / FPS)}
