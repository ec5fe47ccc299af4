"""Sound of every common format comes out as the same 16 kHz mono; what is no sound is refused in words."""

from __future__ import annotations

import os
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from deployments.media import audio as audio_module
from deployments.media.audio import AudioLimits, decode_audio
from telemetry.errors import RequestError

FORMATS = {
    "8k.wav": ["-ar", 8000], "16k.wav": ["-ar", 16000], "44k1.wav": ["-ar", 44100], "48k_stereo.wav": ["-ar", 48000, "-ac", 2],
    "24bit.wav": ["-c:a", "pcm_s24le"], "float.wav": ["-c:a", "pcm_f32le"], "u8.wav": ["-c:a", "pcm_u8"], "a.mp3": ["-ar", 44100],
    "a.m4a": ["-c:a", "aac", "-b:a", "96k"], "a.aac": ["-c:a", "aac", "-b:a", "96k"], "a.flac": [],
    "vorbis.ogg": ["-c:a", "libvorbis"],
    "opus.ogg": ["-c:a", "libopus"], "a.webm": ["-c:a", "libopus"], "a.aiff": [], "a.caf": [], "a.mka": ["-c:a", "libopus"],
}  # fmt: skip


def refused(path: Path, limits: AudioLimits | None = None) -> RequestError:
    with pytest.raises(RequestError) as caught:
        decode_audio(path, limits)
    assert caught.value.field == "audio"
    assert str(path.parent) not in caught.value.message
    assert path.name not in caught.value.message
    return caught.value


def best_lag(a: np.ndarray, b: np.ndarray, reach: int = 1600) -> tuple[int, float]:
    """Samples by which `b` is late against `a`, and the correlation there."""
    n = min(len(a), len(b)) - 2 * reach
    middle = a[reach : reach + n] / np.linalg.norm(a[reach : reach + n])
    scores = np.correlate(b[: n + 2 * reach], middle, "valid")
    lag = int(scores.argmax())
    return lag - reach, float(scores[lag] / np.linalg.norm(b[lag : lag + n]))


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_speech(name: str, make, speech: Path) -> None:
    decoded = decode_audio(make(name, "-i", speech, "-t", 3, *FORMATS[name]))
    original = decode_audio(speech).samples
    assert decoded.samples.dtype == np.float32
    assert decoded.sample_rate == 16000
    # A raw ADTS stream has nowhere to say that its first 1024 samples are priming.
    priming = 1024 if name == "a.aac" else 0
    assert decoded.seconds == pytest.approx(3.0, abs=0.06 + priming / 16000)
    lag, correlation = best_lag(original[: 3 * 16000], decoded.samples)
    assert abs(lag - priming) <= 8
    assert correlation > 0.95


def test_facts_are_those_of_the_source(make, speech: Path) -> None:
    decoded = decode_audio(make("a.wav", "-i", speech, "-t", 1, "-ar", 44100, "-ac", 2, "-c:a", "pcm_s24le"))
    assert (decoded.source_rate, decoded.source_channels, decoded.codec) == (44100, 2, "pcm_s24le")
    assert decoded.peak_dbfs == pytest.approx(20 * np.log10(np.abs(decoded.samples).max()))


def test_a_video_with_late_sound_starts_at_its_first_sample(make, speech: Path) -> None:
    video = ["-f", "lavfi", "-i", "color=size=64x64:rate=25:duration=3", "-itsoffset", 0.5, "-i", speech, "-t", 3]
    decoded = decode_audio(make("late.mkv", *video, "-c:v", "libx264", "-c:a", "flac"))
    assert decoded.start_s == pytest.approx(0.5, abs=0.03)
    lag, correlation = best_lag(decode_audio(speech).samples[: 2 * 16000], decoded.samples)
    assert abs(lag) <= 8
    assert correlation > 0.98


def test_loud_stereo_is_not_clipped(make) -> None:
    tone = "aevalsrc=0.9*sin(2*PI*440*t)|0.9*sin(2*PI*440*t):duration=1:sample_rate=44100"
    assert np.abs(decode_audio(make("a.wav", "-f", "lavfi", "-i", tone)).samples).max() == pytest.approx(0.9, abs=0.02)


def test_floats_that_are_no_numbers_are_refused_and_loud_ones_cut_off(tmp_path: Path) -> None:
    from scipy.io import wavfile

    values = np.full(16000, 0.5, np.float32)
    values[400] = 1e30
    wavfile.write(tmp_path / "a.wav", 16000, values)
    assert np.abs(decode_audio(tmp_path / "a.wav").samples).max() <= 1.0
    for broken in (np.nan, np.inf, -np.inf):
        values[300] = broken
        wavfile.write(tmp_path / "a.wav", 16000, values)
        assert "no numbers" in refused(tmp_path / "a.wav").message


def test_too_short_too_long_and_silent_are_told_apart(make, speech: Path) -> None:
    assert refused(make("short.wav", "-i", speech, "-t", 0.1)).type == "audio_too_short"
    assert refused(speech, AudioLimits(max_s=2.0)).type == "audio_too_long"
    silent = refused(make("s.wav", "-f", "lavfi", "-i", "anullsrc=r=16000", "-t", 1))
    assert silent.type == "audio_silent"
    assert "-60 dBFS" in silent.message
    assert refused(make("hiss.wav", "-f", "lavfi", "-i", "anoisesrc=a=0.0005:d=1")).type == "audio_silent"


def test_a_single_word_in_a_long_pause_is_not_silent(make, speech: Path) -> None:
    decoded = decode_audio(make("word.wav", "-i", speech, "-af", "atrim=1:1.3,asetpts=N/SR/TB,volume=-30dB,apad=whole_dur=20"))
    assert decoded.seconds == pytest.approx(20.0, abs=0.01)


PLAYLIST = "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{0}\n#EXT-X-ENDLIST\n"
CONCAT = "ffconcat version 1.0\nfile '{0}'\n"
SVG = '<svg xmlns="http://www.w3.org/2000/svg"><image href="file://{0}"/></svg>'
DASH = '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>{0}</BaseURL></MPD>'


@pytest.mark.parametrize("text", [PLAYLIST, CONCAT, SVG, DASH, "hello", "", "\0" * 5000], ids=str.split)
@pytest.mark.parametrize("suffix", ["wav", "mp3", "m3u8"])
def test_text_never_opens_another_file(text: str, suffix: str, tmp_path: Path, speech: Path) -> None:
    secret = tmp_path / "secret.wav"
    secret.write_bytes(speech.read_bytes())
    trap = tmp_path / f"trap.{suffix}"
    trap.write_text(text.format(secret) if text else text)
    os.utime(secret, (1, 1))
    assert refused(trap).type == "audio_undecodable"
    assert secret.stat().st_atime == 1


def test_what_is_no_sound_is_refused(tmp_path: Path, make, speech: Path) -> None:
    with zipfile.ZipFile(tmp_path / "z.wav", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(speech, "speech.wav")
    assert refused(tmp_path / "z.wav").type == "audio_undecodable"
    (tmp_path / "folder.wav").mkdir()
    assert refused(tmp_path / "folder.wav").type == "audio_undecodable"
    assert refused(tmp_path / "missing.wav").type == "audio_undecodable"
    os.mkfifo(tmp_path / "pipe.wav")
    assert refused(tmp_path / "pipe.wav").type == "audio_undecodable"
    mute = refused(make("mute.mp4", "-f", "lavfi", "-i", "color=size=64x64:duration=1"))
    assert "holds no sound" in mute.message


@pytest.mark.parametrize(
    "name", ["a.wav", "a.mp3", "a.flac", "a.ogg", "a.opus", "a.m4a", "a.webm", "a.aiff", "a.au", "a.wv", "a.mp4"]
)
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_a_cut_off_recording_is_refused_and_not_played_to_there(name: str, share: float, make, speech: Path) -> None:
    picture = ["-f", "lavfi", "-i", "color=size=64x64:duration=4"] if name == "a.mp4" else []
    faststart = ["-movflags", "+faststart"] if name in ("a.m4a", "a.mp4") else []
    path = make(name, *picture, "-i", speech, "-t", 4, *faststart)
    assert decode_audio(path).seconds == pytest.approx(4.0, abs=0.1)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    assert refused(path).type == "audio_undecodable"


@pytest.mark.parametrize("name", ["a.aac", "a.ts"])
def test_what_states_no_length_is_taken_as_it_is(name: str, make, speech: Path) -> None:
    path = make(name, "-i", speech, "-t", 4, "-c:a", "aac")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert 1.5 < decode_audio(path).seconds < 2.5


@pytest.mark.parametrize("name", ["a.wav", "a.m4a", "a.aiff", "a.mp3", "a.flac", "a.ogg", "a.opus"])
@pytest.mark.parametrize("seconds", [2.0, 0.6])
def test_recordings_in_a_row_are_decoded_whole_or_refused(name: str, seconds: float, make, speech: Path) -> None:
    first, second = make(f"1{name}", "-ss", 1, "-i", speech, "-t", 2), make(f"2{name}", "-ss", 3, "-i", speech, "-t", seconds)
    first.write_bytes(first.read_bytes() + second.read_bytes())
    if name in ("a.wav", "a.m4a", "a.aiff"):
        assert "two recordings" in refused(first).message
    else:
        assert decode_audio(first).seconds == pytest.approx(2.0 + seconds, abs=0.15)


def test_a_short_last_part_of_a_chain_of_opus_is_not_lost_silently(make, speech: Path) -> None:
    # Both parts have the same serial number, as a recorder may give them: ffmpeg plays the first part only.
    first, second = (make(f"{s}.opus", "-ss", 1, "-i", speech, "-t", s, "-fflags", "+bitexact") for s in (3, 0.7))
    first.write_bytes(first.read_bytes() + second.read_bytes())
    assert "3.7 s" in refused(first).message


def test_lengths_that_a_recorder_did_not_know_are_not_believed(speech: Path, tmp_path: Path, make) -> None:
    whole = speech.read_bytes()
    at = whole.index(b"data") + 4
    for size in (0xFFFFFFFF, 0x7FFFFFFF):
        (tmp_path / "a.wav").write_bytes(whole[:at] + size.to_bytes(4, "little") + whole[at + 4 :])
        assert decode_audio(tmp_path / "a.wav").seconds == pytest.approx(7.1, abs=0.01)
    # Of an MP3 of changing bit rate that has no table of contents, ffmpeg guesses a length.
    guessed = make("a.mp3", "-i", speech, "-af", "apad=whole_dur=20", "-q:a", 0, "-write_xing", 0)
    assert decode_audio(guessed).seconds == pytest.approx(20.0, abs=0.2)


def test_a_video_with_more_pictures_than_sound_is_whole(make, speech: Path) -> None:
    for name, codec in (("a.mkv", "flac"), ("a.mp4", "aac")):
        video = make(
            name, "-f", "lavfi", "-i", "color=size=64x64:duration=6", "-t", 6, "-i", speech, "-filter:a", "atrim=0:2", "-c:a", codec
        )
        assert decode_audio(video).seconds == pytest.approx(2.0, abs=0.05)


def test_a_rate_that_changes_midway_is_refused_in_words(make, speech: Path) -> None:
    # Otherwise decoder and soundtrack disagree from there on.
    joined = make("1.mp3", "-i", speech, "-t", 1, "-ar", 16000)
    joined.write_bytes(joined.read_bytes() + make("2.mp3", "-i", speech, "-t", 1, "-ar", 44100, "-ac", 2).read_bytes())
    error = refused(joined)
    assert error.type == "audio_undecodable"
    assert "midway" in error.message


def test_odd_names_are_only_names(tmp_path: Path, speech: Path) -> None:
    for name in ("-i.wav", "a b'\"%d.wav", "concat:x|y.wav", "声音\u200b.wav", "http:..wav", "pipe:0"):
        path = tmp_path / name
        path.write_bytes(speech.read_bytes())
        assert decode_audio(path).seconds == pytest.approx(7.1)


def test_decoding_that_takes_too_long_is_killed(tmp_path: Path, speech: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sleeper = tmp_path / "ffmpeg"
    sleeper.write_text("#!/bin/sh\nexec sleep 60\n")
    sleeper.chmod(0o755)
    monkeypatch.setattr(audio_module, "ffmpeg_binary", lambda: str(sleeper))
    started = time.monotonic()
    error = refused(speech, AudioLimits(timeout_s=0.3))
    assert "longer than 0.3 s" in error.message
    assert time.monotonic() - started < 5
