"""What the motion model is trained on: exact sounds, lips that shut where they must, texts and voices kept apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from deployments.models.motion_net import CHANNELS, RATE, MotionNet
from deployments.models.protocol import SAMPLE_RATE
from deployments.models.training import targets
from deployments.models.training.augment import faster, noise, roughen
from deployments.models.training.data import HELD_OUT_VARIANTS, VARIANTS, draw_clip
from deployments.models.training.sounds import is_bilabial, sounds
from deployments.models.training.speech import Phone, speak
from deployments.models.training.targets import Style, closures, draw_style, motion_targets
from deployments.models.training.texts import held_out_texts, training_texts
from deployments.models.training.train import Config, train

NO_VOICE = "espeakng-loader is not installed: pip install -e .[dev]"
OPEN = CHANNELS.index("open")


def needs_voice() -> None:
    pytest.importorskip("espeakng_loader", reason=NO_VOICE)


def test_phones_follow_each_other_through_the_whole_sound() -> None:
    needs_voice()
    spoken = speak("My mother made beautiful bowls.", voice="en-us+f2")
    assert spoken.samples.dtype == np.float32
    assert np.abs(spoken.samples).max() > 0.1
    for before, after in zip(spoken.phones, spoken.phones[1:], strict=False):
        assert before.end_s == after.start_s > before.start_s
    assert spoken.phones[-1].end_s == pytest.approx(len(spoken.samples) / SAMPLE_RATE, abs=1e-3)


@pytest.mark.parametrize(("voice", "text", "starts"), [("en-us", "mama", "m"), ("cmn", "妈妈", "m"), ("en-us", "papa", "p")])
def test_both_languages_are_spoken(voice: str, text: str, starts: str) -> None:
    needs_voice()
    symbols = [phone.symbol for phone in speak(text, voice=voice).phones if phone.symbol]
    assert [symbol for symbol in symbols if is_bilabial(symbol)] == [starts, starts]


def test_a_stop_begins_with_its_silent_closure() -> None:
    needs_voice()
    spoken = speak("a happy apple", voice="en-us")
    stops = [phone for phone in spoken.phones if phone.symbol == "p"]
    assert len(stops) == 2
    for stop in stops:
        first = spoken.samples[round(stop.start_s * SAMPLE_RATE) + 80 :][: round(0.02 * SAMPLE_RATE)]
        assert np.abs(first).max() < 0.002


@pytest.mark.parametrize("voice", ["en-us+nobody", "xx-nowhere"])
def test_an_unknown_voice_is_an_error(voice: str) -> None:
    needs_voice()
    with pytest.raises(ValueError, match="no voice"):
        speak("hello", voice=voice)


def test_a_rate_out_of_range_is_an_error() -> None:
    with pytest.raises(ValueError, match="rate 20"):
        speak("hello", rate=20)


@pytest.mark.parametrize(("voice", "language"), [("en-us", "en"), ("cmn", "zh")])
def test_targets_shut_the_lips_on_every_bilabial(voice: str, language: str) -> None:
    needs_voice()
    rng = np.random.default_rng(0)
    seen = 0
    for text in held_out_texts(language):
        spoken = speak(text, voice=voice)
        curve = motion_targets(spoken.phones, len(spoken.samples) / SAMPLE_RATE, draw_style(rng), rng)[:, OPEN]
        for start, end in closures(spoken.phones):
            inside = curve[int(np.ceil(start * targets.RATE)) : int(end * targets.RATE) + 1]
            assert inside.min() < 0
            seen += 1
    assert seen > 20


def curve_of(*symbols: str, length: float = 0.12) -> np.ndarray:
    """Targets of sounds of equal length between pauses."""
    phones = [Phone("", 0.0, 0.5)]
    for symbol in symbols:
        phones.append(Phone(symbol, phones[-1].end_s, phones[-1].end_s + length))
    phones.append(Phone("", phones[-1].end_s, phones[-1].end_s + 0.5))
    return motion_targets(phones, phones[-1].end_s, Style(), np.random.default_rng(0))


def test_vowels_open_the_jaw_in_their_order() -> None:
    peak = [curve_of("t", vowel, "t")[:, OPEN].max() for vowel in ("ɑː", "ɛ", "i", "uː")]
    assert peak == sorted(peak, reverse=True)
    assert peak[0] > 2 * peak[-1]


def test_rounding_begins_before_its_vowel() -> None:
    round_ = CHANNELS.index("round")
    before = slice(50, 60)  # the t
    assert curve_of("t", "uː")[before, round_].mean() > 0.25
    assert curve_of("t", "iː")[before, round_].mean() < 0.05


def test_a_pause_shuts_the_mouth() -> None:
    assert curve_of("ɑː")[[0, -1], OPEN].max() < 0


def test_symbols_of_several_sounds_are_taken_apart() -> None:
    assert sounds("ˈaɪ") == (*sounds("a"), *sounds("ɪ"))
    assert sounds("ts.h") == sounds("ʂ")
    assert len(sounds("ˌoʊ")) == 2
    assert len(sounds("?")) == 1


def test_held_out_texts_and_voices_are_not_trained_on() -> None:
    for language in ("en", "zh"):
        assert not set(training_texts(language)) & set(held_out_texts(language))
        assert len(held_out_texts(language)) > 10
    assert not set(VARIANTS) & set(HELD_OUT_VARIANTS)


def test_roughened_speech_keeps_its_length_and_time() -> None:
    rng = np.random.default_rng(0)
    clean = np.zeros(SAMPLE_RATE, np.float32)
    clean[6000:9000] = noise(3000, rng)
    for _ in range(8):
        rough = roughen(clean, rng)
        assert len(rough) == len(clean)
        assert np.isfinite(rough).all()
        assert np.abs(rough).max() <= 1
        power = np.convolve(rough**2, np.ones(400), "same")
        assert 5500 < power.argmax() < 9500


def test_faster_speech_is_shorter() -> None:
    assert len(faster(np.zeros(16_000, np.float32), 125)) == 12_800


def test_a_clip_has_motion_for_its_whole_sound() -> None:
    needs_voice()
    clip = draw_clip(np.random.default_rng(5), held_out=True)
    assert len(clip.motion) == pytest.approx(len(clip.samples) / SAMPLE_RATE * RATE, abs=2)
    assert clip.phones[-1].end_s == pytest.approx(len(clip.samples) / SAMPLE_RATE, abs=0.05)
    assert clip.motion[:, OPEN].max() > 0.2


def test_a_tiny_training_run_learns_something(tmp_path: Path) -> None:
    needs_voice()
    torch.set_num_threads(1)
    config = Config(clips=8, steps=12, batch=8, frames=64, warm_up=2)
    train(config, tmp_path / "motion.safetensors", tmp_path / "curves.csv", report_every=6)
    net = MotionNet()
    net.load_state_dict(load_file(tmp_path / "motion.safetensors"))
    assert all(torch.isfinite(parameter).all() for parameter in net.parameters())
    lines = (tmp_path / "curves.csv").read_text().splitlines()
    loss = [float(line.split(",")[lines[0].split(",").index("loss")]) for line in lines[1:]]
    assert len(loss) == 2
    assert loss[1] < loss[0]
