"""Trains the regressor that hears what a mouth should do: `python -m deployments.meter.training --out WEIGHTS`.

Data: sentences spoken by eSpeak NG in many voices with its own phone times, and, where a folder is named, aligned recordings that
may be shared (see docs/sync_meter.md). Targets come from `articulation`, not from faces and not from this project's video model. No
natural talking video is used. Needs the packages of the extra `dev`. Takes about a minute on one core.
"""

from __future__ import annotations

import argparse
import json
import random
import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from scipy.signal import fftconvolve

from deployments.media.audio import SAMPLE_RATE
from deployments.meter.articulation import ARPABET, TARGETS, targets
from deployments.meter.hear import BANDS, RATE, log_mel

SEED = 0
VOICES = ("", "+f1", "+f2", "+f3", "+f4", "+f5", "+m1", "+m2", "+m3", "+m4", "+m5", "+m6", "+m7", "+m8")
ENGLISH_VOICES = ("en-us", "en-gb-x-rp")
ENGLISH_ROUNDS, MANDARIN_ROUNDS, RECORDING_ROUNDS, SPOKEN_ROUNDS = 4, 2, 10, 2
"""How often each sentence is spoken, and each sound is used (disturbed differently each time)."""
CHANNELS, WIDTH, LAYERS, DROPOUT = 32, 9, 3, 0.1
EPOCHS, BATCH, PIECE, PEAK_RATE = 8, 32, 200, 4e-3
"""More channels (48, 64), epochs (20) or rounds of recordings (40) were no better or worse on the natural clips."""

Floats = npt.NDArray[np.float32]
Timed = list[tuple[str, float, float]]


@dataclass(frozen=True)
class Utterance:
    """Sound at SAMPLE_RATE and its phones: IPA, start and end in seconds."""

    samples: Floats
    phones: Timed


def spoken(seed: int) -> list[Utterance]:
    """The sentences of the motion model's texts, each in voices, rates and pitches that `seed` draws."""
    from deployments.models.training.speech import speak
    from deployments.models.training.texts import training_texts

    draw, found = random.Random(seed), []
    asked = [(text, ENGLISH_VOICES) for text in training_texts("en") * ENGLISH_ROUNDS]
    asked += [(text, ("cmn",)) for text in training_texts("zh") * MANDARIN_ROUNDS]
    for text, languages in asked:
        voice = draw.choice(languages) + draw.choice(VOICES)
        said = speak(text, voice=voice, rate=draw.randint(120, 230), pitch=draw.randint(20, 80))
        phones = [(phone.symbol, phone.start_s, phone.end_s) for phone in said.phones]
        found.append(_with_silence(Utterance(said.samples, phones), draw))
    return found


def _with_silence(said: Utterance, draw: random.Random) -> Utterance:
    before, after = (draw.uniform(0, 0.6) for _ in range(2))
    pads = tuple(int(seconds * SAMPLE_RATE) for seconds in (before, after))
    end = len(said.samples) / SAMPLE_RATE
    moved = [(symbol, start + before, stop + before) for symbol, start, stop in said.phones]
    phones = [("", 0.0, before), *moved, ("", before + end, before + end + after)]
    return Utterance(np.pad(said.samples, pads).astype(np.float32), phones)


def recordings(folder: Path) -> list[Utterance]:
    """`NAME.wav` (16 kHz mono, 16 bit) with `NAME.phone.json`, an alignment as pocketsphinx writes it, in `folder`."""
    found = []
    for path in sorted(folder.glob("*.phone.json")):
        words = json.loads(path.read_text())["w"]
        phones = [(ARPABET.get(p["t"], ""), p["b"], p["b"] + p["d"]) for word in words for p in word.get("w", ())]
        with wave.open(str(path).replace(".phone.json", ".wav")) as file:
            sound = np.frombuffer(file.readframes(file.getnframes()), np.int16)
        found.append(Utterance((sound / 32768).astype(np.float32), phones))
    return found


def disturbed(samples: Floats, rng: np.random.Generator) -> Floats:
    """`samples` through a random microphone (80 %), room (50 %) and noise (80 %): synthetic voices are cleaner than recordings."""
    out, n = samples.astype(np.float64), len(samples)
    if rng.random() < 0.8:
        spectrum = np.fft.rfft(out)
        gain_db = np.interp(np.linspace(0, 1, len(spectrum)), np.linspace(0, 1, 8), rng.normal(0, 5, 8))
        out = np.fft.irfft(spectrum * 10 ** (gain_db / 20), n)
    if rng.random() < 0.5:
        length = int(SAMPLE_RATE * rng.uniform(0.1, 0.5))
        echo = rng.normal(0, 1, length) * np.exp(-6.9 * np.arange(length) / length) * rng.uniform(0.02, 0.1)
        echo[0] = 1.0
        out = fftconvolve(out, echo)[:n]
    if rng.random() < 0.8:
        noise = np.fft.rfft(rng.normal(0, 1, n))
        noise = np.fft.irfft(noise * np.arange(1, len(noise) + 1) ** -rng.uniform(0, 1), n)
        level = np.sqrt(np.mean(out**2) / np.mean(noise**2)) * 10 ** (-rng.uniform(8, 45) / 20)
        out = out + noise * level
    return out.astype(np.float32)


def _other_throat(features: Floats, rng: np.random.Generator) -> Floats:
    """The bands of a vocal tract up to 12 % longer or shorter."""
    at = np.clip(np.arange(BANDS) * rng.uniform(0.88, 1.12), 0, BANDS - 1)
    low = at.astype(int)
    share = (at - low).astype(np.float32)
    warped = features[:, low] * (1 - share) + features[:, np.minimum(low + 1, BANDS - 1)] * share
    return warped.astype(np.float32)


def examples(sounds: list[Utterance], rounds: int, rng: np.random.Generator) -> list[tuple[Floats, Floats]]:
    """(features, targets) of each sound, `rounds` times."""
    found = []
    for said in sounds * rounds:
        features = _other_throat(log_mel(disturbed(said.samples, rng)), rng)
        wanted = targets(said.phones, len(said.samples) / SAMPLE_RATE).astype(np.float32)
        n = min(len(features), len(wanted))
        found.append((features[:n], wanted[:n]))
    return found


def network() -> torch.nn.Sequential:
    """Four convolutions over time; a frame sees 160 ms to each side."""
    layers: list[torch.nn.Module] = []
    for i in range(LAYERS):
        layers += [torch.nn.Conv1d(CHANNELS if i else BANDS, CHANNELS, WIDTH, padding=WIDTH // 2), torch.nn.ReLU()]
        layers += [torch.nn.Dropout(DROPOUT)]
    return torch.nn.Sequential(*layers, torch.nn.Conv1d(CHANNELS, len(TARGETS), WIDTH, padding=WIDTH // 2))


def fit(data: list[tuple[Floats, Floats]], rng: np.random.Generator) -> torch.nn.Sequential:
    """Trains a network to the standardised targets; prints the loss (1 is knowing nothing)."""
    everything = np.concatenate([wanted for _, wanted in data])
    mean, spread = everything.mean(0), everything.std(0)
    pieces = [(i, start) for i, (x, _) in enumerate(data) for start in range(0, max(1, len(x) - PIECE), PIECE)]
    model = network()
    optimiser = torch.optim.AdamW(model.parameters(), weight_decay=1e-3)
    rounds = len(pieces) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, PEAK_RATE, total_steps=EPOCHS * rounds)
    for epoch in range(EPOCHS):
        order, losses = rng.permutation(len(pieces)), []
        for k in range(rounds):
            x, y = _batch(data, [pieces[i] for i in order[k * BATCH : (k + 1) * BATCH]], rng)
            loss = ((model(torch.from_numpy(x)) - torch.from_numpy((y - mean[:, None]) / spread[:, None])) ** 2).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            losses.append(loss.item())
        print(f"epoch {epoch + 1}: loss {np.mean(losses):.3f}", flush=True)
    return model.eval()


def _batch(data: list[tuple[Floats, Floats]], pieces: list[tuple[int, int]], rng: np.random.Generator) -> tuple[Floats, Floats]:
    x, y = np.zeros((len(pieces), BANDS, PIECE), np.float32), np.zeros((len(pieces), len(TARGETS), PIECE), np.float32)
    for row, (i, start) in enumerate(pieces):
        features, wanted = data[i]
        start = int(np.clip(start + rng.integers(-PIECE // 2, PIECE // 2), 0, max(0, len(features) - PIECE)))
        n = len(features[start : start + PIECE])
        x[row, :, :n], y[row, :, :n] = features[start : start + PIECE].T, wanted[start : start + PIECE].T
    return x, y


def main() -> None:
    """Trains and writes the weights as safetensors."""
    from safetensors.numpy import save_file

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--recordings", type=Path, help="folder of NAME.wav and NAME.phone.json")
    given = parser.parse_args()
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    rng = np.random.default_rng(SEED)
    data = examples(spoken(SEED), SPOKEN_ROUNDS, rng)
    if given.recordings:
        data += examples(recordings(given.recordings), RECORDING_ROUNDS, rng)
    print(f"{sum(len(x) for x, _ in data) / RATE / 60:.0f} minutes of sound")
    layers = [layer for layer in fit(data, rng) if isinstance(layer, torch.nn.Conv1d)]
    tensors = {}
    for i, layer in enumerate(layers):
        assert layer.bias is not None
        tensors |= {f"{i}.weight": layer.weight.detach().numpy(), f"{i}.bias": layer.bias.detach().numpy()}
    save_file(tensors, given.out)


if __name__ == "__main__":
    main()
