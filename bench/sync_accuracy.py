"""How well does the sync meter read a known offset, how often does it answer, and how often should it not have?

    SONOSCOPE_CLIPS=FOLDER python -m bench.sync_accuracy [--tiny]

Generated clips are made here; natural ones come from the folder (none: that part is skipped). The sound is moved by -400 to +400 ms
in steps of 40; windows of 3, 5 and 8 s; frames relabelled to 24 and 30 a second; other clips' sound. This uses tracked mouths.
Then some cases are made with ffmpeg and the files measured: offsets by a filter and by the container's clock, the start trimmed,
other frame rates, a smaller picture, a frozen end. The rival is the plain method: energy against lip opening.

The confidence was fitted on these natural clips: what it is worth on clips that it has not seen is in `bench.sync_calibration`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import numpy.typing as npt

from bench.ratios import keep
from bench.sync_clips import Clip, generated_clips, natural_clips
from deployments.meter.hear import log_mel
from deployments.meter.lags import LAGS, Motion, peak, seen_motion, syllables
from deployments.meter.measure import FLOOR, Measured, measure
from deployments.meter.offset import Offset, find
from deployments.models.facemesh import FaceMesh

SHIFTS_MS = tuple(range(-400, 401, 40))
WINDOWS_S = (3.0, 5.0, 8.0)
CLOSURES = Path(__file__).with_name("sync_closures.json")


def answered(found: Offset | None) -> bool:
    """Whether `measure` would give this offset."""
    return found is not None and found.confidence >= FLOOR


def line(name: str, errors_ms: Iterable[float], asked: int) -> str:
    """One line of the table: errors of those that were answered."""
    error = np.abs(np.array(list(errors_ms)))
    if not len(error):
        return f"{name:44} {asked:5}  {'0%':>8}"
    within = (f"{(error <= limit).mean():6.0%}" for limit in (40, 80))
    quantiles = f"{np.median(error):6.1f} {np.percentile(error, 95):6.1f}"
    return f"{name:44} {asked:5}  {len(error) / asked:8.0%}  {quantiles}  {' '.join(within)}"


def shifted(clips: list[Clip], shifts: Iterable[int]) -> list[tuple[float, bool]]:
    """(error against the unshifted clip, answered) of every clip and shift."""
    out = []
    for clip in clips:
        base = find(clip.seen, clip.sound())
        for ms in shifts:
            found = find(clip.seen, clip.sound(ms / 1000))
            if base is not None and found is not None:
                out.append((found.middle_ms - base.middle_ms - ms, answered(found)))
    return out


def windows(clips: list[Clip], seconds: float) -> list[tuple[float, bool]]:
    """(error against the clip's own offset, answered) of every window that starts a second after the one before."""
    out = []
    for clip in clips:
        if clip.own_ms is None or clip.seconds < 0.95 * seconds:
            continue
        for start in np.arange(0.0, max(0.01, clip.seconds - seconds + 0.01), 1.0):
            part = clip.window(float(start), seconds)
            found = find(part.seen, part.sound())
            if found is not None:
                out.append((found.middle_ms - clip.own_ms, answered(found)))
    return out


def relabelled(clips: list[Clip], rate: float) -> list[tuple[float, bool]]:
    """(error of the end's offset against what the other rate makes of it, answered)."""
    out = []
    for clip in clips:
        per_frame = float(np.median(np.diff(clip.seen.times)))
        factor = 1 / rate / per_frame
        base, found = find(clip.seen, clip.sound()), find(clip.relabelled(factor), clip.sound())
        if base is not None and found is not None:
            out.append((found.end_ms - (base.end_ms - (factor - 1) * clip.seconds * 1000), answered(found)))
    return out


def wrong_sound(clips: list[Clip]) -> list[bool]:
    """Whether an answer was given, for every clip with as much of every other group's sound."""
    out = []
    for clip in clips:
        for other in clips:
            if other.group != clip.group and len(other.heard) >= 0.9 * len(clip.heard):
                sound = Clip(clip.path, clip.seen, other.heard[: len(clip.heard)], clip.audio_start_s, None, False).sound()
                out.append(answered(find(clip.seen, sound)))
    return out


def plain(clip: Clip, seconds: float, energy: npt.NDArray[np.float64]) -> list[float]:
    """Errors of the rival, without any refusal: the lag at which the sound's level and the inner lips' opening correlate most."""
    out = []
    for start in np.arange(0.0, max(0.01, clip.seconds - seconds + 0.01), 1.0):
        part = clip.window(float(start), seconds)
        first = round((part.audio_start_s - clip.audio_start_s) * 100)
        level = syllables(energy[first : first + len(part.heard), None])[:, 0]
        seen = seen_motion(part.seen)
        curve = np.array([_plain_at(level, seen, round(part.audio_start_s * 100), int(lag)) for lag in LAGS])
        out.append(peak(curve)[0] * 10 - (clip.own_ms or 0.0))
    return out


def _plain_at(level: npt.NDArray[np.float64], seen: Motion, heard_start: int, lag: int) -> float:
    shift = seen.start + lag - heard_start
    low, high = max(0, -shift), min(len(seen.values), len(level) - shift)
    if high - low < 100:
        return float("nan")
    return float(np.corrcoef(level[low + shift : high + shift], seen.values[low:high, 0])[0, 1])


def real_files(clips: list[Clip], folder: Path) -> None:
    """Makes files with ffmpeg, measures them, and prints the error of each kind against the unspoilt file."""
    mesh = FaceMesh()
    encode = ("-c:v", "libx264", "-preset", "veryfast", "-crf", "20", "-c:a", "aac", "-b:a", "96k")
    both = ("-map", "0:v:0", "-map", "1:a:0")

    def made(name: str, *arguments: object) -> Measured:
        path = folder / f"{name}.mkv"
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-nostdin", "-loglevel", "error", *map(str, arguments), str(path)]
        subprocess.run(command, check=True, timeout=300)
        return measure(path, face_mesh=mesh)

    kinds: dict[str, tuple[float, Callable[[Path], Measured]]] = {
        "delayed by a filter, +120 ms": (120, lambda p: made("a", "-i", p, "-af", "adelay=120:all=1", *encode)),
        "cut by a filter, -240 ms": (-240, lambda p: made("b", "-i", p, "-af", "atrim=0.24,asetpts=PTS-STARTPTS", *encode)),
        "late in the container, +200 ms": (200, lambda p: made("c", "-i", p, "-itsoffset", 0.2, "-i", p, *both, "-c", "copy")),
        "picture late in the container, -160 ms": (
            -160,
            lambda p: made("d", "-itsoffset", 0.16, "-i", p, "-i", p, *both, "-c", "copy"),
        ),
        "first second trimmed": (0, lambda p: made("e", "-ss", 1.0, "-i", p, *encode)),
        "resampled to 24 frames a second": (0, lambda p: made("f", "-i", p, "-vf", "fps=24", *encode)),
        "resampled to 30 frames a second": (0, lambda p: made("g", "-i", p, "-vf", "fps=30", *encode)),
        "half the size, crf 32": (
            0,
            lambda p: made("h", "-i", p, "-vf", "scale=-2:240", "-c:v", "libx264", "-crf", 32, "-c:a", "copy"),
        ),
        "last second frozen": (
            0,
            lambda p: made("i", "-i", p, "-vf", "trim=0:4,tpad=stop_mode=clone:stop_duration=1", "-t", 5, *encode),
        ),
    }
    cost: list[float] = []
    base = {}
    for clip in clips:
        began = time.process_time()
        base[clip.name] = measure(clip.path, face_mesh=mesh)
        cost.append((time.process_time() - began) / base[clip.name].video_s)
    for kind, (expected, make) in kinds.items():
        errors = []
        for clip in clips:
            own, found = base[clip.name].audio_offset_ms, make(clip.path).audio_offset_ms
            if own is not None and found is not None:
                errors.append(found - own - expected)
        print(line(kind, errors, len(clips)))
    print(f"\ncost of measure(): {np.median(cost):.2f} CPU s for a second of video (most {max(cost):.2f})")
    keep("sync meter, CPU time", float(np.median(cost)), "the video's own length", at_most=1.0)


def closures() -> None:
    """Prints the sound's offset in the clips whose lip releases were marked by eye."""
    marks = json.loads(CLOSURES.read_text())["marks"]
    late = [1000 * (mark["burst_s"] - (mark["closed_s"] + mark["open_s"]) / 2) for mark in marks]
    error = np.std(late) / len(late) ** 0.5
    print(f"lip releases marked by eye ({len(late)}): sound {np.mean(late):+.1f} ms, standard error {error:.1f}")


def table(kind: str, clips: list[Clip], tiny: bool) -> None:
    """Prints one kind of clip."""
    shifts = SHIFTS_MS[::10] if tiny else SHIFTS_MS

    def show(name: str, cases: list[tuple[float, bool]]) -> None:
        print(line(name, [error for error, sure in cases if sure], len(cases)))

    print(f"\n{kind}: {len(clips)} clips, {sum(clip.seconds for clip in clips):.0f} s\n")
    print(f"{'case':44} {'asked':>5}  {'answered':>8}  {'median':>6} {'p95 ms':>6}  {'<=40':>6} {'<=80':>6}")
    long = [clip for clip in clips if clip.seconds >= 4.7]
    show("shifted by -400 to +400 ms, all clips", shifted(clips, shifts))
    show("shifted by -400 to +400 ms, 5 s and longer", shifted(long, shifts))
    for seconds in WINDOWS_S:
        show(f"windows of {seconds:.0f} s against the whole clip", windows(clips, seconds))
    for rate in (24, 30):
        fitting = [clip for clip in long if abs(1 / np.median(np.diff(clip.seen.times)) - 25) < 0.5]
        show(f"25 frames relabelled as {rate}, offset at the end", relabelled(fitting, rate))
    wrong = wrong_sound(clips)
    if wrong:
        print(f"{'another clip`s sound':44} {len(wrong):5}  {np.mean(wrong):8.1%}  (each answer is wrong)")


def rival(clips: list[Clip]) -> None:
    """Prints the plain method beside ours, both without refusing anything, on the same windows."""
    from safetensors.numpy import load_file

    from bench.sync_clips import kept_track

    known = [clip for clip in clips if clip.own_ms is not None]
    print("\nshare of windows within 80 ms where every window must be answered: this meter, plain energy against opening")
    for seconds in WINDOWS_S:
        fitting = [clip for clip in known if clip.seconds >= 0.95 * seconds]
        ours = [abs(error) <= 80 for error, _ in windows(fitting, seconds)]
        theirs = [
            abs(error) <= 80
            for clip in fitting
            for error in plain(clip, seconds, log_mel(load_file(kept_track(clip.path))["samples"]).mean(1).astype(np.float64))
        ]
        print(f"  {seconds:.0f} s: {np.mean(ours):.0%} against {np.mean(theirs):.0%} (ratio {np.mean(ours) / np.mean(theirs):.1f})")
        keep(f"windows of {seconds:.0f} s within 80 ms", np.mean(ours) / np.mean(theirs), "plain energy against opening")


def main() -> None:
    """Prints all tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="one generated clip, few shifts: that everything runs")
    tiny = parser.parse_args().tiny
    closures()
    generated = generated_clips(1 if tiny else None)
    table("generated", generated, tiny)
    natural = [] if tiny else natural_clips()
    if natural:
        table("natural", natural, tiny)
        rival(natural)
        grid = [
            found.middle_ms
            for clip in natural
            if clip.group == "grid" and answered(found := find(clip.seen, clip.sound())) and found
        ]
        print(f"zero: median of {len(grid)} clips with marks {np.median(grid):+.1f} ms")
    else:
        print("\nnatural: skipped, SONOSCOPE_CLIPS names no folder with the clips of bench/sync_reference.json")
    print("\nreal files, error against the unspoilt file")
    chosen = generated[:2] + [clip for clip in natural if 4.7 <= clip.seconds <= 9][:6]
    with tempfile.TemporaryDirectory() as folder:
        real_files(chosen, Path(folder))


if __name__ == "__main__":
    main()
