"""`sonoscope measure`: how late a video's sound is against the lips. Needs the file, and nothing else of this project."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from deployments.meter.curve import Curve, write_curve
from deployments.meter.measure import Measured
from deployments.meter.measure import measure as measure_file
from sonoscope.commands.common import err, errors, fail, out, print_json

BAR_AFTER_S = 2.0
NAMES = (
    "audio_offset_ms", "audio_drift_ms", "sync_confidence", "sync_reason", "lip_match", "duration_drift_ms", "frozen_tail_ms",
    "video_s", "audio_s", "video_frames", "fps", "offset_start_ms", "offset_end_ms", "face_share", "truncated",
)  # fmt: skip
"""Keys of the JSON document, in this order."""

STANDARDS = (
    ("EBU R37", -40.0, 60.0),
    ("ITU-R BT.1359-1, detectable", -45.0, 125.0),
    ("ITU-R BT.1359-1, acceptable", -90.0, 185.0),
)
"""Earliest and latest sound in ms, positive = sound late. Both texts count the other way round (sound early positive: +45/-125)."""

REASONS = {
    "not_sure": "Sound and mouth do not fit clearly at any offset within a second: wrong sound, too short, or a mouth hard to see.",
    "no_face": "Fewer than half of the frames show a face.",
    "silent": "The soundtrack is silent.",
}
_BLOCKS = " ▁▂▃▄▅▆▇█"
_PLOT_COLUMNS = 67


def measure(file: Path, *, curve: Path | None, as_json: bool) -> None:
    """Prints the answer in words, or as JSON with the names of NAMES. Ends with 1 where the file cannot be measured."""
    with errors(as_json):
        found = measured_with_bar(file)
    if curve is not None and found.curve is not None:
        try:
            write_curve(found.curve, curve)
        except OSError as error:
            fail(
                f"--curve: the file cannot be written: {error.strerror or error}", "Name a file in a folder that you may write to."
            )
    if as_json:
        fields = found.fields()
        print_json({name: fields[name] for name in NAMES})
        return
    for line in sentences(found):
        out.print(line, soft_wrap=True)
    if found.curve is not None:
        out.print(plot(found.curve))


def measured_with_bar(file: Path) -> Measured:
    """Measures with a progress bar on standard error, which appears when the work takes longer than BAR_AFTER_S."""
    columns = (TextColumn("[progress.description]{task.description}"), BarColumn(), TimeElapsedColumn())
    began = time.monotonic()
    bar = Progress(*columns, console=err, transient=True)
    task = bar.add_task("following the mouth, 0 s", total=None)

    def on_frame(seconds: float) -> None:
        if not bar.live.is_started and time.monotonic() - began > BAR_AFTER_S:
            bar.start()
        bar.update(task, description=f"following the mouth, {seconds:.0f} s")

    try:
        return measure_file(file, on_frame=on_frame)
    finally:
        bar.stop()


def sentences(found: Measured) -> list[str]:
    """What was found, one fact a line."""
    lines = []
    if found.audio_offset_ms is None:
        lines.append(f"[bold]{found.sync_reason}[/bold]: {REASONS[found.sync_reason]}")
    else:
        side = "late" if round(found.audio_offset_ms) >= 0 else "early"
        sure = f"confidence {found.sync_confidence:.2f}, lip match {found.lip_match:.2f}"
        lines.append(f"[bold]The sound is {abs(found.audio_offset_ms):.0f} ms {side}[/bold] against the lips ({sure}).")
        start, end = found.offset_start_ms or 0.0, found.offset_end_ms or 0.0
        if abs(end - start) >= 1.0:
            lines.append(f"It drifts from {start:+.0f} ms at the start to {end:+.0f} ms at the end: another frame rate?")
        lines += [_judged(found, *standard) for standard in STANDARDS]
    lines.append(f"Video {found.video_s:.2f} s ({found.video_frames} frames at {found.fps:.5g}/s), audio {found.audio_s:.2f} s.")
    lines.append(f"Length of picture minus sound: {found.duration_drift_ms:+.0f} ms; frozen tail: {found.frozen_tail_ms:.0f} ms.")
    if found.truncated:
        lines.append("Only the first ten minutes were looked at.")
    return lines


def _judged(found: Measured, name: str, earliest: float, latest: float) -> str:
    ends = (found.offset_start_ms or 0.0, found.offset_end_ms or 0.0)
    inside = all(earliest <= offset <= latest for offset in ends)
    verdict = "[green]inside[/green]" if inside else "[red]outside[/red]"
    return f"  {verdict} {name}: {earliest:+.0f} to {latest:+.0f} ms (positive = sound late)"


def plot(curve: Curve) -> str:
    """The correlation by lag as one line of blocks from -1 s to +1 s (empty at 0 and below, full at 0.8), with a scale below."""
    columns = np.array_split(np.nan_to_num(curve.correlation), _PLOT_COLUMNS)
    heights = np.clip([part.max() / 0.8 for part in columns], 0, 1)
    line = "".join(_BLOCKS[round(height * (len(_BLOCKS) - 1))] for height in heights)
    scale = f"{'-1 s early':<28}{'0':^11}{'late +1 s':>28}"
    return f"{line}\n[dim]{scale}[/dim]"
