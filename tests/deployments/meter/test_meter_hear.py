"""What the meter expects of a mouth, from phones and from sound."""

from __future__ import annotations

import wave

import numpy as np
import pytest

from deployments.media.audio import SAMPLE_RATE, Samples
from deployments.meter import hear
from deployments.meter.articulation import ARPABET, RATE, TARGETS, shapes_of, targets
from deployments.meter.hear import expected_mouth
from deployments.models.facemesh import ChecksumError

from .conftest import MEDIA

OPEN, WIDE, JAW = (TARGETS.index(name) for name in ("open", "wide", "jaw"))


@pytest.fixture(scope="module")
def english() -> Samples:
    with wave.open(str(MEDIA / "speech_en.wav")) as file:
        return (np.frombuffer(file.readframes(file.getnframes()), np.int16) / 32768).astype(np.float32)


def test_lips_shut_in_the_middle_of_a_bilabial_and_open_in_a_vowel() -> None:
    wanted = targets([("ɑ", 0.0, 0.3), ("m", 0.3, 0.42), ("ɑ", 0.42, 0.8)], 0.8)
    assert wanted[36, OPEN] < 0.2
    assert wanted[60, OPEN] > 0.9
    assert len(wanted) == 0.8 * RATE + 1


def test_rounding_spreads_to_its_neighbours_and_diphthongs_move() -> None:
    round_s, spread_s = (targets([("s", 0.0, 0.1), (vowel, 0.1, 0.3)], 0.3)[8, WIDE] for vowel in ("u", "i"))
    assert round_s < spread_s - 0.3
    assert [shape.jaw for shape in shapes_of("ˈaɪ")] == [1.0, 0.32]


def test_every_english_phone_has_a_shape_of_its_own_kind() -> None:
    assert all(shapes_of(ipa) for ipa in ARPABET.values())
    assert shapes_of("tʃ") == shapes_of("ʃ") != shapes_of("t")
    assert shapes_of("ts.h") == shapes_of("s.") != shapes_of("s")


def test_long_sound_is_heard_in_pieces_with_the_same_result(english: Samples, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = expected_mouth(english)
    assert whole.shape == (len(english) * hear.RATE // SAMPLE_RATE + 1, 3)
    monkeypatch.setattr(hear, "_PIECE", 100)
    assert expected_mouth(english) == pytest.approx(whole, abs=1e-4)


def test_louder_or_quieter_sound_asks_for_the_same_mouth(english: Samples) -> None:
    assert expected_mouth(english * np.float32(0.1)) == pytest.approx(expected_mouth(english), abs=0.15)


def test_the_expected_mouth_is_shut_in_a_pause(english: Samples) -> None:
    paused = np.concatenate([english[: 2 * SAMPLE_RATE], np.zeros(SAMPLE_RATE, np.float32), english[2 * SAMPLE_RATE :]])
    heard = expected_mouth(paused)
    assert heard[230:270, OPEN].mean() < heard[:, OPEN].mean() - 0.5


def test_weights_that_were_changed_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    hear.regressor.cache_clear()
    monkeypatch.setattr(hear, "WEIGHTS_SHA256", "0" * 64)
    with pytest.raises(ChecksumError, match="install the package again"):
        hear.regressor()
