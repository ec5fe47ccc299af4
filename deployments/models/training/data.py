"""Training clips: spoken sentences with pauses between them, made rough, and the mouth's motion for them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from deployments.models.motion_features import HOP, log_mel
from deployments.models.motion_net import RATE
from deployments.models.protocol import SAMPLE_RATE
from deployments.models.training import targets
from deployments.models.training.augment import breath, faster, noise, roughen
from deployments.models.training.sounds import REST
from deployments.models.training.speech import Phone, speak
from deployments.models.training.targets import Style, draw_style, motion_targets
from deployments.models.training.texts import held_out_texts, training_texts

LANGUAGES = {"en": ("en-us", "en", "en-gb-scotland", "en-us-nyc", "en-029"), "zh": ("cmn",)}
VARIANTS = (
    "m1", "m2", "m3", "m4", "m6", "m7", "m8", "f1", "f2", "f3", "f5", "klatt", "klatt2", "klatt4", "klatt5", "Alex", "Alicia",
    "Andrea", "Annie", "Denis", "Gene", "Henrique", "Hugo", "Lee", "Marco", "Michael", "Mike", "Reed", "adam", "anika", "antonio",
    "belinda", "benjamin", "caleb", "david", "ed", "edward", "grandma", "grandpa", "iven", "iven3", "john", "linda", "max",
    "michel", "norbert", "pablo", "paul", "quincy", "rob", "robert", "sandro", "shelby", "travis", "victor", "zac",
)  # fmt: skip
HELD_OUT_LANGUAGES = {"en": ("en-gb-x-rp", "en-us"), "zh": ("cmn",)}
HELD_OUT_VARIANTS = ("m5", "f4", "klatt3", "Andy", "Jacky", "Mario", "ian", "steph", "boris", "miguel")
"""Voices never trained on."""
NOISE_SHARE = 0.06
"""Clips without speech: the mouth stays shut."""


@dataclass(frozen=True)
class Clip:
    """A sound and what the mouth does in it."""

    samples: npt.NDArray[np.float32]
    """(n,) mono at SAMPLE_RATE."""
    motion: npt.NDArray[np.float32]
    """(frames, CHANNELS) at motion_net.RATE."""
    phones: tuple[Phone, ...]


def draw_clip(rng: np.random.Generator, *, held_out: bool = False, rough: bool = True, style: Style | None = None) -> Clip:
    """A random clip of a few seconds; `held_out` draws from voices and texts kept for the figures alone.

    `rough` False leaves the sound clean; `style` None draws a speaker.
    """
    if not held_out and rng.random() < NOISE_SHARE:
        return _noise_clip(rng)
    language = "zh" if rng.random() < 0.4 else "en"
    places = (HELD_OUT_LANGUAGES if held_out else LANGUAGES)[language]
    variants = HELD_OUT_VARIANTS if held_out else VARIANTS
    voice = f"{rng.choice(places)}+{rng.choice(variants)}"
    texts = (held_out_texts if held_out else training_texts)(language)
    rate, pitch = int(rng.uniform(105, 250)), int(rng.uniform(15, 85))
    percent = int(rng.uniform(84, 122))
    sounds = [_silence(rng)]
    phones: list[Phone] = [Phone("", 0.0, len(sounds[0]) / SAMPLE_RATE)]
    for _ in range(int(rng.integers(1, 3))):
        spoken = speak(str(rng.choice(texts)), voice=voice, rate=rate, pitch=pitch)
        at = phones[-1].end_s
        factor = 100 / percent
        phones += [Phone(p.symbol, at + p.start_s * factor, at + p.end_s * factor) for p in spoken.phones]
        sounds.append(faster(spoken.samples, percent))
        sounds.append(_silence(rng))
        at += len(sounds[-2]) / SAMPLE_RATE
        phones.append(Phone("", phones[-1].end_s, at + len(sounds[-1]) / SAMPLE_RATE))
    samples = np.concatenate(sounds)
    curves = motion_targets(phones, len(samples) / SAMPLE_RATE, style or draw_style(rng), rng)
    return Clip(roughen(samples, rng) if rough else samples, curves[:: targets.RATE // RATE], tuple(phones))


def _silence(rng: np.random.Generator) -> npt.NDArray[np.float32]:
    n = int(SAMPLE_RATE * rng.uniform(0.1, 0.9))
    return breath(n, rng) if rng.random() < 0.3 else np.zeros(n, np.float32)


def _noise_clip(rng: np.random.Generator) -> Clip:
    n = int(SAMPLE_RATE * rng.uniform(3, 6))
    samples = noise(n, rng) * 10 ** (-rng.uniform(10, 70) / 20) * 0.3
    motion = np.tile(np.array(REST, np.float32), (round(n / SAMPLE_RATE * targets.RATE) // 2 + 1, 1))
    return Clip(np.clip(samples, -1, 1).astype(np.float32), motion, (Phone("", 0.0, n / SAMPLE_RATE),))


@dataclass(frozen=True)
class Corpus:
    """Clips end to end, ready to cut windows from."""

    mels: torch.Tensor
    """(MELS, 2 frames) float16."""
    motion: torch.Tensor
    """(CHANNELS, frames) float16."""
    starts: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]
    """First and last motion frame of each clip."""

    @property
    def hours(self) -> float:
        """Length of all clips."""
        return self.motion.shape[1] / RATE / 3600

    def batch(self, n: int, frames: int, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """`n` random windows of `frames` motion frames: (n, MELS, 2 frames) and (n, CHANNELS, frames), float32."""
        room = np.maximum(self.ends - self.starts - frames, 0)
        clips = rng.choice(len(room), n, p=(room > 0) * 1.0 / (room > 0).sum())
        at = self.starts[clips] + (rng.random(n) * room[clips]).astype(np.int64)
        mels = torch.stack([self.mels[:, 2 * a : 2 * (a + frames)] for a in at]).float()
        return mels, torch.stack([self.motion[:, a : a + frames] for a in at]).float()


def make_corpus(clips: int, seed: int, *, held_out: bool = False) -> Corpus:
    """`clips` random clips from `seed`."""
    rng = np.random.default_rng(seed)
    mels, motions = [], []
    for _ in range(clips):
        clip = draw_clip(rng, held_out=held_out)
        frames = min(len(clip.motion), (1 + len(clip.samples) // HOP) // 2)
        mels.append(log_mel(clip.samples, torch.device("cpu"))[:, : 2 * frames].half())
        motions.append(torch.from_numpy(clip.motion[:frames].T.copy()).half())
    lengths = np.array([motion.shape[1] for motion in motions])
    ends = lengths.cumsum()
    return Corpus(torch.cat(mels, 1), torch.cat(motions, 1), ends - lengths, ends)
