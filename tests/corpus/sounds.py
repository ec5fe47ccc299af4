"""Recordings: every container, rate and layout, odd levels, what is too short, too long or cut off, and what is no sound."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator

import numpy as np
from scipy.io import wavfile

from tests.corpus.cases import MEDIA, VIDEO, Case, case, good_portrait, good_speech, sound, wrecked

UNDECODABLE, SHORT, LONG, SILENT = "audio_undecodable", "audio_too_short", "audio_too_long", "audio_silent"
RATES = (1000, 4000, 8000, 11_025, 12_000, 22_050, 24_000, 32_000, 44_100, 48_000, 88_200, 96_000, 176_400, 192_000, 384_000)
Rows = Iterator[tuple[str, bytes, *tuple[str, ...]]]


def sound_cases(seed: int) -> list[Case]:
    """About eighty."""
    made = (_rates(), _containers(), _layouts(), _levels(), _lengths(), _headers(), _cut_off(seed), _joined(), _nothing())
    return [case(f"sound: {name}", *expected, audio=data) for part in made for name, data, *expected in part]


def _rates() -> Rows:
    for rate in RATES:
        yield f"WAV at {rate} Hz", sound("wav", "-ar", rate), VIDEO


def _containers() -> Rows:
    for name, ending, arguments in (
        ("MP3", "mp3", ()), ("MP3 without a table of contents", "mp3", ("-write_xing", 0)),
        ("MP3 of changing bit rate", "mp3", ("-q:a", 5)), ("M4A", "m4a", ()),
        ("fragmented M4A", "m4a", ("-movflags", "frag_keyframe+empty_moov")),
        ("Apple Lossless", "m4a", ("-c:a", "alac")), ("AAC", "aac", ()), ("FLAC", "flac", ()),
        ("Vorbis in Ogg", "ogg", ("-c:a", "libvorbis")), ("Opus in Ogg", "ogg", ("-c:a", "libopus")),
        ("Opus in WebM", "webm", ("-c:a", "libopus")), ("FLAC in Matroska", "mka", ("-c:a", "flac")), ("AIFF", "aiff", ()),
        ("CAF", "caf", ()), ("AU", "au", ()), ("Wave64", "w64", ()), ("RF64", "wav", ("-rf64", "always")), ("WMA", "wma", ()),
        ("AC-3", "ac3", ()), ("MPEG-TS", "ts", ("-c:a", "aac")), ("WavPack", "wv", ()),
    ):  # fmt: skip
        yield name, sound(ending, *arguments), VIDEO
    pictures = ("-f", "lavfi", "-i", "testsrc2=size=64x64:rate=25:duration=0.7")
    for name, ending, codec in (
        ("an MP4 video", "mp4", "libx264"),
        ("an AVI video", "avi", "mpeg4"),
        ("a Matroska video", "mkv", "libx264"),
    ):
        yield name, sound(ending, "-c:v", codec, before=pictures), VIDEO
    yield "an MP4 video without sound", sound("mp4", source=pictures), UNDECODABLE
    late = sound("mkv", "-c:v", "libx264", "-c:a", "flac", before=(*pictures, "-itsoffset", 0.4))
    yield "a video whose sound starts late", late, VIDEO
    two = sound("mka", "-map", "0:a", "-map", "0:a", "-c:a", "flac")
    yield "two soundtracks", two, VIDEO
    cover = sound(
        "mp3",
        "-map",
        0,
        "-map",
        1,
        "-c:v",
        "mjpeg",
        "-disposition:v",
        "attached_pic",
        before=("-i", MEDIA / "painting_mona_lisa.jpg"),
    )
    yield "MP3 with a picture of its cover", cover, VIDEO


def _layouts() -> Rows:
    for name, layout in {"stereo": "stereo", "5.1": "5.1", "7.1": "7.1", "22.2": "22.2"}.items():
        yield f"{name} channels", sound("wav", "-af", f"aformat=channel_layouts={layout}"), VIDEO
    yield "7.1 channels in FLAC", sound("flac", "-af", "aformat=channel_layouts=7.1"), VIDEO
    yield "speech in the right channel only", sound("wav", "-af", "pan=stereo|c1=c0"), VIDEO
    # Left and right cancel each other in the mix to mono, as with one swapped wire.
    yield "right channel upside down", sound("wav", "-af", "pan=stereo|c0=c0|c1=-1*c0"), SILENT
    for codec in (
        "pcm_u8",
        "pcm_s24le",
        "pcm_s32le",
        "pcm_f32le",
        "pcm_f64le",
        "pcm_alaw",
        "pcm_mulaw",
        "adpcm_ms",
        "adpcm_ima_wav",
    ):
        yield f"WAV of {codec}", sound("wav", "-c:a", codec), VIDEO


def _levels() -> Rows:
    speech = wavfile.read(io.BytesIO(good_speech()))[1].astype(np.float32) / 32768
    yield "a constant offset of 0.4", _floats(np.clip(0.4 + 0.5 * speech, -1, 1)), VIDEO
    yield "clipped by 40 dB", _floats(np.clip(100 * speech, -1, 1)), VIDEO
    yield "floats far beyond full scale", _floats(1e6 * speech), VIDEO
    yield "floats of 1e30", _floats(1e30 * speech), VIDEO
    broken = speech.copy()
    broken[1000:1100], broken[2000], broken[3000] = np.nan, np.inf, -np.inf
    yield "floats that are no numbers", _floats(broken), UNDECODABLE
    yield "nothing but NaN", _floats(np.full(16_000, np.nan, np.float32)), UNDECODABLE
    yield "very quiet", _floats(speech * 0.02), VIDEO
    yield "silence", _floats(np.zeros(16_000, np.float32)), SILENT
    yield "a hiss at -70 dBFS", _floats(np.random.default_rng(0).normal(0, 3e-4, 16_000).astype(np.float32)), SILENT
    yield "a single click", _floats(np.eye(1, 16_000, 8000, dtype=np.float32)[0]), VIDEO, SILENT
    yield "nothing but an offset", _floats(np.full(16_000, 0.3, np.float32)), VIDEO, SILENT


def _floats(samples: np.ndarray, rate: int = 16_000) -> bytes:
    buffer = io.BytesIO()
    wavfile.write(buffer, rate, samples.astype(np.float32))
    return buffer.getvalue()


def _lengths() -> Rows:
    yield "no sample at all", sound("wav", "-t", 0), UNDECODABLE, SHORT
    yield "a single sample", _floats(np.ones(1, np.float32)), SHORT
    yield "0.1 s", sound("wav", "-t", 0.1), SHORT
    yield (
        "an hour of silence",
        sound("flac", "-ar", 8000, source=("-f", "lavfi", "-t", 3600, "-i", "anullsrc=r=8000:cl=mono")),
        LONG,
    )
    yield "an hour of a tone", sound("mp3", "-b:a", "8k", source=("-f", "lavfi", "-t", 3600, "-i", "sine=r=8000")), LONG
    samples = np.zeros((192_000 * 2, 8), np.int16)
    yield "2 s of silence in 6 MB", _plain(samples.tobytes(), 192_000, 8), SILENT


def _plain(data: bytes, rate: int, channels: int, *, data_size: int | None = None, bits: int = 16) -> bytes:
    size = len(data) if data_size is None else data_size
    align = channels * bits // 8
    head = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, channels, rate, (rate * align) & 0xFFFFFFFF, align & 0xFFFF, bits)
    return b"RIFF" + struct.pack("<I", min(36 + size, 0xFFFFFFFF)) + b"WAVE" + head + b"data" + struct.pack("<I", size) + data


def _headers() -> Rows:
    data = good_speech()[good_speech().index(b"data") + 8 :]
    yield "a recorder's WAV of unknown size", _plain(data, 16_000, 1, data_size=0xFFFFFFFF), VIDEO
    yield "a WAV with size 0 and sound behind it", _plain(data, 16_000, 1, data_size=0), VIDEO, UNDECODABLE, SHORT
    yield "a WAV that says 2 GB", _plain(data, 16_000, 1, data_size=2_000_000_000), UNDECODABLE
    yield "a WAV of 0 channels", _plain(data, 16_000, 0), UNDECODABLE
    yield "a WAV of 65,535 channels", _plain(data, 16_000, 65_535), UNDECODABLE
    yield "a WAV at 0 Hz", _plain(data, 0, 1), UNDECODABLE
    yield "a WAV at 1 Hz", _plain(data, 1, 1), LONG, UNDECODABLE
    yield "a WAV at 4 GHz", _plain(data, 2**32 - 1, 1), UNDECODABLE, SHORT
    yield "a WAV of 0 bits", _plain(data, 16_000, 1, bits=0), UNDECODABLE, VIDEO
    yield "a WAV of 64 bits a sample", _plain(data, 16_000, 1, bits=64), UNDECODABLE, SHORT, VIDEO
    other = b"LIST" + struct.pack("<I", 300_000) + bytes(300_000)
    yield "a WAV with 300 kB of remarks first", good_speech()[:12] + other + good_speech()[12:], VIDEO, UNDECODABLE


def _cut_off(seed: int) -> Rows:
    random = np.random.default_rng(seed)
    four = ("-ss", 1.0, "-t", 4, "-i", MEDIA / "speech_en.wav")
    for name, ending, arguments, expected in (
        ("WAV", "wav", (), UNDECODABLE), ("MP3", "mp3", (), UNDECODABLE),
        ("M4A, index first", "m4a", ("-movflags", "+faststart"), UNDECODABLE),
        ("M4A, index last", "m4a", (), UNDECODABLE), ("FLAC", "flac", (), UNDECODABLE),
        ("Vorbis", "ogg", ("-c:a", "libvorbis"), UNDECODABLE),
        ("Opus", "ogg", ("-c:a", "libopus"), UNDECODABLE), ("WebM", "webm", ("-c:a", "libopus"), UNDECODABLE),
        ("AIFF", "aiff", (), UNDECODABLE), ("AAC, which states no length", "aac", (), VIDEO),
    ):  # fmt: skip
        whole = sound(ending, *arguments, source=four)
        yield f"{name}, the second half missing", whole[: len(whole) * 45 // 100], expected
        if ending in ("mp3", "m4a", "ogg", "flac"):
            yield f"{name} with changed bytes", wrecked(sound(ending, *arguments), random), VIDEO, UNDECODABLE, SHORT, LONG, SILENT
    pictures = ("-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25:duration=4")
    movie = sound("mp4", "-c:v", "libx264", "-movflags", "+faststart", source=four, before=pictures)
    yield "an MP4 video, the second half missing", movie[: len(movie) // 2], UNDECODABLE
    yield "a WAV of 40 bytes", good_speech()[:40], UNDECODABLE


def _joined() -> Rows:
    for name, ending, arguments, expected in (
        ("WAV", "wav", (), UNDECODABLE), ("M4A", "m4a", (), UNDECODABLE), ("AIFF", "aiff", (), UNDECODABLE),
        ("MP3", "mp3", (), VIDEO), ("short Opus (chained Ogg)", "ogg", ("-c:a", "libopus"), UNDECODABLE),
        ("Vorbis (chained Ogg)", "ogg", ("-c:a", "libvorbis"), VIDEO), ("FLAC", "flac", (), VIDEO),
    ):  # fmt: skip
        yield f"two {name} in one file", sound(ending, *arguments) * 2, expected
    yield "MP3 whose rate changes midway", sound("mp3", "-ar", 16_000) + sound("mp3", "-ar", 44_100, "-ac", 2), UNDECODABLE


def _nothing() -> Rows:
    texts = {
        "text": b"hello", "zeros": bytes(20_000), "a ZIP": b"PK\3\4" + bytes(500),
        "a tar": bytes(257) + b"ustar\x0000" + bytes(1000),
        "MIDI": b"MThd\0\0\0\6\0\0\0\1\0\x60MTrk\0\0\0\4\0\xff\x2f\0", "a program": b"\x7fELF\2\1\1" + bytes(500),
        "bytes at random": np.random.default_rng(3).bytes(20_000),
    }  # fmt: skip
    for name, data in texts.items():
        yield name, data, UNDECODABLE
    yield "a picture", good_portrait(), UNDECODABLE
