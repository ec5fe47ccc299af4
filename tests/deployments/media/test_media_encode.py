"""A video is as long as its sound to within a frame, its sound is where it was, and a failure leaves nothing behind."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from deployments.media.audio import SAMPLE_RATE, decode_audio
from deployments.media.encode import VideoWriter, pick_encoder
from deployments.media.encoder import fitting_encoder
from deployments.media.encoder_bounds import EncoderBounds
from deployments.media.probe import duration_drift_ms, faststart, probe
from deployments.models.protocol import frame_count
from telemetry.errors import RequestError

SIZE = 64


def moving(frames: int) -> np.ndarray:
    """(n, 64, 64, 3) a bright bar that wanders."""
    pixels = np.full((frames, SIZE, SIZE, 3), 40, np.uint8)
    for k in range(frames):
        pixels[k, :, (2 * k) % SIZE, :] = 220
    return pixels


def writer(final: Path, audio: Path | None, audio_s: float = 1.0, fps: float = 25.0, **more) -> VideoWriter:
    options = {"width": SIZE, "height": SIZE, "frames": frame_count(audio_s, fps), "request_id": "r-1"} | more
    return VideoWriter(final, fps=fps, audio=audio, audio_s=audio_s, **options)


def encode(video: VideoWriter, *chunks: np.ndarray, signal_first: int | None = None) -> None:
    """Writes `chunks` and finishes; `signal_first` is sent to ffmpeg after the first of them."""
    with video:
        for k, chunk in enumerate(chunks):
            video.write(chunk)
            if k == 0 and signal_first is not None:
                os.kill(video._process.pid, signal_first)
                time.sleep(0.1)
        video.finish()


def nothing_left(folder: Path, process_id: int) -> bool:
    with pytest.raises(ProcessLookupError):
        os.kill(process_id, 0)
    return list(folder.iterdir()) == []


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("fps", [10.0, 25.0, 29.97, 30.0, 60.0])
@pytest.mark.parametrize("audio_s", [0.5, 3.33, 10.01])
def test_no_syllable_is_cut_and_none_moves(fps: float, audio_s: float, out: Path, make, speech: Path) -> None:
    # 10.01 s hold the whole recording, its beginning again, and sound to the very end.
    sound = make("sound.wav", "-stream_loop", 1, "-i", speech, "-t", audio_s)
    frames = frame_count(audio_s, fps)
    with writer(out / "v.mp4", sound, audio_s, fps) as video:
        for start in range(0, frames, 25):
            video.write(moving(min(25, frames - start)))
        done = video.finish()
    facts = done.facts
    assert facts == probe(out / "v.mp4")
    assert abs(duration_drift_ms(facts)) <= 1000 / fps + 1
    assert (facts.frames, facts.audio_s) == (frames, pytest.approx(audio_s, abs=0.0005))
    assert facts.fps == pytest.approx(fps, rel=1e-4)
    assert facts.video_start_s == facts.audio_start_s == 0.0
    original, heard = decode_audio(sound).samples, decode_audio(out / "v.mp4").samples
    assert abs(len(heard) - len(original)) <= 0.022 * SAMPLE_RATE
    assert correlation(original, heard, len(original)) > 0.98
    assert correlation(original[-1600:], heard[len(original) - 1600 :], 1600) > 0.95, "the last 100 ms are there"


def correlation(original: np.ndarray, heard: np.ndarray, n: int) -> float:
    """Correlation at the best lag, which must be below 2 ms."""
    heard = np.pad(heard, (0, max(0, n - len(heard))))[:n]
    spectrum = np.conj(np.fft.rfft(original, 2 * n)) * np.fft.rfft(heard, 2 * n)
    scores = np.fft.irfft(spectrum, 2 * n)
    lag = int(scores.argmax())
    assert min(lag, 2 * n - lag) < 0.002 * SAMPLE_RATE
    return float(scores[lag] / (np.linalg.norm(original) * np.linalg.norm(heard)))


@pytest.mark.parametrize("name", ["late.mkv", "a.mp3", "stereo44k.m4a"])
def test_sample_0_is_the_decoders_sample_0(name: str, out: Path, make, speech: Path) -> None:
    options = {
        "late.mkv": ["-f", "lavfi", "-i", "color=size=64x64:rate=25:duration=3", "-itsoffset", 0.7, "-i", speech, "-c:a", "flac"],
        "a.mp3": ["-i", speech],
        "stereo44k.m4a": ["-i", speech, "-ar", 44100, "-ac", 2],
    }[name]
    sound = make(name, *options, "-metadata", "artist=Somebody", "-t", 3)
    decoded = decode_audio(sound)
    with writer(out / "v.mp4", sound, decoded.seconds) as video:
        video.write(moving(frame_count(decoded.seconds, 25.0)))
        facts = video.finish().facts
    heard = decode_audio(out / "v.mp4").samples
    assert correlation(decoded.samples, heard, len(decoded.samples)) > 0.97
    assert facts.metadata["comment"] == "request_id=r-1"
    assert "Somebody" not in str(facts.metadata)


def test_sound_is_padded_and_cut_to_the_ordered_length(out: Path, make, speech: Path) -> None:
    short = make("short.wav", "-i", speech, "-t", 0.5)
    for sound, audio_s in ((short, 1.2), (speech, 0.8)):
        with writer(out / "v.mp4", sound, audio_s) as video:
            video.write(moving(frame_count(audio_s, 25.0)))
            assert video.finish().facts.audio_s == pytest.approx(audio_s, abs=0.0005)


def test_sound_that_is_muxed_late_starts_late_in_the_container(out: Path, speech: Path) -> None:
    encode(writer(out / "v.mp4", speech, sound_late_s=0.12), moving(25))
    facts = probe(out / "v.mp4")
    # The priming frame of AAC (1,024 samples at 48 kHz of silence) is shown before the first sample.
    assert facts.audio_start_s == pytest.approx(0.12 - 1024 / 48_000, abs=0.001)
    assert facts.video_start_s == 0.0


def test_the_file_is_what_browsers_want(out: Path, speech: Path) -> None:
    with writer(out / "v.mp4", speech) as video:
        video.write(moving(25))
        done = video.finish()
    facts = done.facts
    assert (facts.video_codec, facts.pixel_format, facts.audio_codec) == ("h264", "yuv420p", "aac")
    assert faststart(done.path)
    assert done.encoder == "libx264"
    assert done.busy_s > 0
    assert [path.name for path in out.iterdir()] == ["v.mp4"]


def test_colours_survive(out: Path) -> None:
    import av

    colours = np.array([[230, 20, 20], [20, 200, 20], [20, 20, 220], [240, 240, 240], [224, 172, 140]], np.uint8)
    frames = np.ones((5, SIZE, SIZE, 3), np.uint8) * colours[:, None, None, :]
    with writer(out / "v.mp4", None, 0.2, crf=10) as video:
        video.write(frames)
        video.finish()
    with av.open(str(out / "v.mp4")) as container:
        context = container.streams.video[0].codec_context
        assert (int(context.colorspace), int(context.color_primaries), int(context.color_trc)) == (1, 1, 1)
        shown = [frame.to_ndarray(format="rgb24")[32, 32].astype(int) for frame in container.decode(video=0)]
    assert np.abs(np.array(shown) - colours).max() <= 6


def test_the_output_can_have_another_size_and_no_sound(out: Path) -> None:
    with writer(out / "v.mp4", None, 0.2, output_size=(99, 131)) as video:
        video.write(moving(5))
        facts = video.finish().facts
    assert (facts.width, facts.height, facts.audio_codec) == (98, 130, None)


def test_a_wrong_number_of_frames_names_both(out: Path, speech: Path) -> None:
    for written in (20, 30):
        video = writer(out / "v.mp4", speech)
        with pytest.raises(RequestError, match=f"{written} frames, but 25") as caught:
            encode(video, moving(written))
        assert caught.value.type == "encoder_failed"
        assert nothing_left(out, video._process.pid)


def test_frames_of_another_shape_are_refused(out: Path) -> None:
    with writer(out / "v.mp4", None) as video, pytest.raises(RequestError, match="not uint8"):
        video.write(np.zeros((1, 32, 32, 3), np.uint8))
    assert list(out.iterdir()) == []


def test_an_exception_or_an_abort_leaves_nothing(out: Path, speech: Path) -> None:
    video = writer(out / "v.mp4", speech)

    def interrupted() -> None:
        with video:
            video.write(moving(5))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        interrupted()
    assert nothing_left(out, video._process.pid)
    video.abort()
    with pytest.raises(RequestError, match="aborted"):
        video.write(moving(1))


def test_abort_from_another_thread_ends_a_blocked_write(out: Path, speech: Path) -> None:
    with writer(out / "v.mp4", speech, 7.0, frames=4000, width=512, height=512) as video:
        os.kill(video._process.pid, signal.SIGSTOP)
        threading.Timer(0.3, video.abort).start()
        with pytest.raises(RequestError) as caught:
            video.write(np.zeros((20, 512, 512, 3), np.uint8))
    assert caught.value.type == "encoder_failed"
    assert nothing_left(out, video._process.pid)


def test_a_killed_encoder_is_an_error_and_no_broken_pipe(out: Path, speech: Path) -> None:
    video = writer(out / "v.mp4", speech, 7.0)
    with pytest.raises(RequestError) as caught:
        encode(video, moving(10), moving(100), signal_first=signal.SIGKILL)
    assert caught.value.type == "encoder_failed"
    assert "signal 9" in caught.value.message
    assert nothing_left(out, video._process.pid)


@pytest.mark.parametrize("chunks", [(1, 100, 99), (200,)], ids=["in write", "in finish"])
def test_a_stalled_encoder_times_out(chunks: tuple[int, ...], out: Path, speech: Path) -> None:
    video = writer(out / "v.mp4", speech, 7.0, frames=200, timeout_s=0.3)
    started = time.monotonic()
    with pytest.raises(RequestError) as caught:
        encode(video, *map(moving, chunks), signal_first=signal.SIGSTOP)
    assert caught.value.type == "encoder_timeout"
    assert time.monotonic() - started < 3
    assert nothing_left(out, video._process.pid)


@pytest.mark.parametrize("limit", ["memory_bytes", "file_bytes"])
def test_an_encoder_that_outgrows_its_bounds_is_ended(limit: str, out: Path, speech: Path, monkeypatch) -> None:
    bounds = EncoderBounds.of(SIZE * SIZE, 25, 1, on_gpu=False)
    tight = replace(bounds, **{limit: 32 << 20 if limit == "memory_bytes" else 1000})
    monkeypatch.setattr(EncoderBounds, "of", lambda *_, **__: tight)
    with pytest.raises(RequestError) as raised:
        encode(writer(out / "v.mp4", speech), moving(25))
    assert raised.value.type == "encoder_failed"
    assert list(out.iterdir()) == []


def test_ffmpegs_reason_is_told_without_paths(out: Path, tmp_path: Path) -> None:
    trap = tmp_path / "trap.wav"
    trap.write_text("#EXTM3U\n#EXTINF:1,\n/etc/hostname\n")
    video = writer(out / "v.mp4", trap)
    with pytest.raises(RequestError) as caught:
        encode(video, moving(25))
    assert caught.value.type == "encoder_failed"
    assert "hitelist" in caught.value.message or "Invalid" in caught.value.message
    assert str(tmp_path) not in caught.value.message
    assert "trap" not in caught.value.message
    assert nothing_left(out, video._process.pid)


def test_missing_folders_and_missing_sound_are_errors(tmp_path: Path, speech: Path) -> None:
    with pytest.raises(RequestError, match="soundtrack is gone"):
        writer(tmp_path / "v.mp4", tmp_path / "missing.wav")
    video = writer(tmp_path / "nowhere" / "v.mp4", speech)
    with pytest.raises(RequestError) as caught:
        encode(video, moving(25))
    assert caught.value.type == "encoder_failed"


def test_small_pictures_do_not_go_to_nvenc() -> None:
    assert pick_encoder() in ("libx264", "h264_nvenc")
    assert fitting_encoder("h264_nvenc", (64, 64)) == "libx264"
    assert fitting_encoder("h264_nvenc", (512, 512)) == "h264_nvenc"
