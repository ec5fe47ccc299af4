"""Fits the sync meter's confidence, and says with clips left out what it is worth.

    SONOSCOPE_CLIPS=FOLDER python -m bench.sync_calibration [--write]

Every window of 3, 5 and 8 s of the clips with a known offset, with its own sound and with that of three other clips, gives the
evidence of `deployments.meter.offset` and whether the answer was within 80 ms (never, with another clip's sound). A logistic curve
is fitted in which a long clip weighs no more than a short one. The table is made with each clip (all of GRID: one studio) left
out in turn; `--write` keeps the curve of all clips in `deployments/meter/weights/confidence.json`.
"""

from __future__ import annotations

import argparse
import json
import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from bench.sync_clips import Clip, generated_clips, natural_clips
from deployments.meter import offset
from deployments.meter.lags import Motion
from deployments.meter.measure import FLOOR
from deployments.meter.offset import STRETCH_SECONDS
from deployments.meter.track import Track

WEIGHTS = Path(offset.__file__).with_name("weights") / "confidence.json"
WINDOWS_S = (3.0, 5.0, 8.0)
NEAR_MS = 80.0
OTHERS = 3
RIGHT_SHARE = 0.45
"""Weight of windows with their own sound; the rest has another clip's. Wrong sound is rarer than that in life, but an answer for it
does more harm than a missing one."""
RELABELLED = (30 / 25, 25 / 24)
"""Windows of 5 s and more are also taken with frames at another rate: shown longer by these factors."""
RIDGE = 0.02

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Case:
    """A window with a sound."""

    group: str
    seconds: float
    own_sound: bool
    relabelled: bool
    natural: bool
    evidence: Array
    error_ms: float

    @property
    def good(self) -> bool:
        """Whether an answer would be right."""
        return self.own_sound and abs(self.error_ms) <= NEAR_MS


def judged(seen: Track, heard: Motion) -> tuple[Array, float] | None:
    """Evidence and offset in ms of what `find` settles on."""
    fit = offset.best_fit(seen, heard)
    if fit is None:
        return None
    return offset.evidence(fit, heard), float(np.mean(offset.ends_ms(fit, seen)))


def cases(clips: list[Clip], seed: int = 0) -> list[Case]:
    """Every window of every clip with its own sound and with OTHERS other ones."""
    draw, found = random.Random(seed), []
    for clip in clips:
        for seconds in WINDOWS_S:
            if clip.own_ms is None or clip.seconds < 0.95 * seconds:
                continue
            for start in np.arange(0.0, max(0.01, clip.seconds - seconds + 0.01), 2.0 if clip.seconds > 12 else 1.0):
                part = clip.window(float(start), seconds)
                sounds = [(True, 1.0, part.sound())] + [(False, 1.0, _another(clips, clip, part, draw)) for _ in range(OTHERS)]
                if seconds >= STRETCH_SECONDS:
                    sounds += [(True, factor, part.sound()) for factor in RELABELLED]
                for own, factor, sound in sounds:
                    answer = judged(part.relabelled(factor), sound)
                    if answer is not None:
                        error = answer[1] - (clip.own_ms - (factor - 1.0) * part.seconds * 500.0)
                        found.append(Case(clip.group, seconds, own, factor != 1.0, clip.natural, answer[0], error))
    return found


def _another(clips: list[Clip], clip: Clip, part: Clip, draw: random.Random) -> Motion:
    """As much of another clip's sound, from a random place."""
    n = len(part.heard)
    other = draw.choice([one for one in clips if one.group != clip.group and len(one.heard) >= 0.9 * n])
    first = draw.randint(0, max(0, len(other.heard) - n))
    return Clip(clip.path, part.seen, other.heard[first : first + n], part.audio_start_s, None, False).sound()


def weights(found: list[Case]) -> Array:
    """Weight of each case: every group counts the same at each length of window (GRID four times: eleven people)."""
    keys = [(case.group, case.seconds, case.own_sound, case.relabelled) for case in found]
    counts = {key: keys.count(key) for key in set(keys)}
    size = {key: 4.0 if key[0] == "grid" else min(3.0, count) for key, count in counts.items()}
    out = np.array([size[key] / counts[key] for key in keys])
    own = np.array([case.own_sound for case in found])
    return np.where(own, RIGHT_SHARE / out[own].sum(), (1 - RIGHT_SHARE) / out[~own].sum()) * out


def fit(found: list[Case]) -> tuple[Array, float]:
    """Weights of the evidence and the constant of the logistic curve."""
    x, y, w = np.array([case.evidence for case in found]), np.array([case.good for case in found]), weights(found)
    mean, spread = x.mean(0), x.std(0) + 1e-9
    z = (x - mean) / spread

    def loss(p: Array) -> float:
        return float(w @ np.logaddexp(0, -(2.0 * y - 1) * (z @ p[:-1] + p[-1])) + RIDGE * (p[:-1] ** 2).sum() / 2)

    p = minimize(loss, np.zeros(x.shape[1] + 1)).x
    return p[:-1] / spread, float(p[-1] - (p[:-1] * mean / spread).sum())


def left_out(found: list[Case]) -> Array:
    """Confidence of each case from a curve that has not seen its clip."""
    out = np.zeros(len(found))
    for group in {case.group for case in found}:
        slope, constant = fit([case for case in found if case.group != group])
        for i, case in enumerate(found):
            if case.group == group:
                out[i] = 1.0 / (1.0 + np.exp(-(case.evidence @ slope + constant)))
    return out


def report(found: list[Case], sure: Array) -> None:
    """Prints what the floor answers, and whether the confidence is the probability that it says."""
    natural = np.array([case.natural for case in found])
    own, good = np.array([case.own_sound for case in found]), np.array([case.good for case in found])
    length, moved = np.array([case.seconds for case in found]), np.array([case.relabelled for case in found])
    print(f"clips left out in turn; answered = confidence {FLOOR} and more\n")
    print("window  kind         windows  answered  of these within 80 ms  other sounds  answered")
    kinds = {
        "natural": natural & ~moved,
        "relabelled": natural & moved,
        "generated": ~natural & ~moved,
        "  relabelled": ~natural & moved,
    }
    for kind, chosen in kinds.items():
        for seconds in WINDOWS_S:
            right, wrong = chosen & own & (length == seconds), chosen & ~own & (length == seconds)
            if not right.any():
                continue
            hit = right & (sure >= FLOOR)
            share = f"{good[hit].mean():.0%}" if hit.any() else "-"
            print(
                f"{seconds:4.0f} s  {kind:12} {right.sum():7}  {hit.sum() / right.sum():8.0%}  {share:>21}  {wrong.sum():12}"
                f"  {f'{(sure[wrong] >= FLOOR).mean():.1%}' if wrong.any() else '':>8}"
            )
    print("\nconfidence   cases  said  came true (other sounds at the weight of the fit)")
    w = weights(found)
    for low in (0.0, 0.2, 0.4, 0.6, 0.7, 0.8, 0.9):
        high = {0.6: 0.7, 0.7: 0.8, 0.8: 0.9, 0.9: 1.01}.get(low, low + 0.2)
        inside = (sure >= low) & (sure < high)
        if inside.any():
            said, true = (float(np.average(part[inside], weights=w[inside])) for part in (sure, good))
            print(f"{low:.1f} to {min(high, 1.0):.1f}  {inside.sum():6}  {said:.2f}  {true:.2f}")


def main() -> None:
    """Prints the table and, if asked, writes the curve."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    clips = natural_clips()
    if not clips:
        raise SystemExit("skipped: SONOSCOPE_CLIPS names no folder with the clips of bench/sync_reference.json")
    found = cases(clips + generated_clips())
    report(found, left_out(found))
    slope, constant = fit(found)
    curve = {"weights": dict(zip(offset.FEATURES, np.round(slope, 4).tolist(), strict=True)), "bias": round(constant, 4)}
    print(json.dumps(curve))
    if given.write:
        WEIGHTS.write_text(json.dumps(curve, indent=1) + "\n")


if __name__ == "__main__":
    main()
