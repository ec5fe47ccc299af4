"""Which H.264 encoder there is, and the ffmpeg command that makes a video with it."""

from __future__ import annotations

import os
import subprocess
from fractions import Fraction
from functools import cache
from pathlib import Path

import ffmpeg

from deployments.media.audio import first_sound
from deployments.media.command import QUIET, STEADY_INPUT, ffmpeg_binary, url

SOUND_RATE = 48_000
"""Samples a second of the soundtrack: every player and every AAC decoder takes it, and it holds all rates of speech."""

SOUND_BITRATE = "128k"

_BT709 = {"range": "tv", "colorspace": "bt709", "color_primaries": "bt709", "color_trc": "bt709"}
"""Tags of the frames. ffmpeg 9 takes them from the frames only: as options of the encoder, primaries and curve stay unset."""

_NVENC_TRIAL_S = 20.0
_NVENC_SMALLEST = (146, 50)
"""Width and height that h264_nvenc takes for sure: NVIDIA's documents give 145 x 49 as the least (not tried here)."""


@cache
def pick_encoder() -> str:
    """`h264_nvenc` where it really encodes a frame on this host, else `libx264`; found once a process.

    ffmpeg lists NVENC on hosts without a GPU too, and a driver may be too old for it: only a trial tells. The trial is made only
    where an NVIDIA device exists.
    """
    if not any(Path("/dev").glob("nvidia[0-9]*")):
        return "libx264"
    trial = ffmpeg.input("color=size=256x256:rate=25", format="lavfi").output("-", vcodec="h264_nvenc", vframes=1, format="null")
    command = ffmpeg.compile(trial.global_args(*QUIET), cmd=ffmpeg_binary())
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_NVENC_TRIAL_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "libx264"
    return "h264_nvenc" if done.returncode == 0 else "libx264"


def even_size(size: tuple[int, int]) -> tuple[int, int]:
    """`size` (width, height) with odd sides one smaller: yuv420p stores colour for 2 x 2 pixels."""
    return max(2, size[0] // 2 * 2), max(2, size[1] // 2 * 2)


def fitting_encoder(encoder: str, size: tuple[int, int]) -> str:
    """`encoder`, or libx264 where the picture (width, height) is too small for NVENC."""
    too_small = size[0] < _NVENC_SMALLEST[0] or size[1] < _NVENC_SMALLEST[1]
    return "libx264" if encoder == "h264_nvenc" and too_small else encoder


def encode_command(
    part: Path,
    *,
    size: tuple[int, int],
    output_size: tuple[int, int],
    fps: float,
    audio: Path | None,
    audio_s: float,
    sound_late_s: float,
    request_id: str,
    encoder: str,
    preset: str,
    crf: int,
    threads: int | None,
) -> list[str]:
    """Arguments of the ffmpeg that reads rgb24 frames of `size` (width, height) on its standard input and writes `part`.

    Measured for 250 frames of 512 x 512 (a talking face, CRF 20, one core, one thread; seconds of CPU, size, PSNR of RGB):
    veryfast 1.8 s 1.42 MB 37.6 dB; superfast 1.2 s 1.82 MB 38.3 dB; ultrafast 0.7 s 3.04 MB 38.5 dB; faster 2.7 s 1.57 MB 38.0 dB.
    veryfast is the default: the smallest file of them, 7 ms a frame. `-tune`: film and stillimage change nothing that counts;
    zerolatency and fastdecode save 10 % of the time and add 31 % and 13 % to the file: none is set. Converting rgb24 to yuv420p
    is 0.3 s of it, in ffmpeg as well as by cv2 before the pipe (whose matrix is BT.601 besides): ffmpeg does it.
    """
    rate = str(Fraction(fps).limit_denominator(1001))
    frames = ffmpeg.input("pipe:0", format="rawvideo", pix_fmt="rgb24", s=f"{size[0]}x{size[1]}", framerate=rate)
    width, height = output_size
    picture = ffmpeg.filter(frames, "scale", width, height, flags="lanczos", out_color_matrix="bt709", out_range="tv")
    picture = ffmpeg.filter(ffmpeg.filter(picture, "format", "yuv420p"), "setparams", **_BT709)
    picture = ffmpeg.filter(picture, "setsar", 1)
    streams = [picture, *([_soundtrack(audio, audio_s, sound_late_s)] if audio is not None else [])]
    options: dict[str, object] = _codec_options(encoder, preset, crf, threads)
    if audio is not None:
        options |= {"acodec": "aac", "audio_bitrate": SOUND_BITRATE}
    options |= {"map_metadata": -1, "map_chapters": -1, "metadata": f"comment=request_id={request_id}", "movflags": "+faststart"}
    video = ffmpeg.output(*streams, url(part), format="mp4", **options).global_args(*QUIET)
    return [str(argument) for argument in ffmpeg.compile(video, cmd=ffmpeg_binary())]


def _soundtrack(audio: Path, audio_s: float, late_s: float) -> ffmpeg.nodes.FilterableStream:
    """The audio from the sample that is `decode_audio`'s sample 0, cut or padded to `audio_s` exactly, `late_s` late."""
    sound = ffmpeg.filter(first_sound(ffmpeg.input(url(audio), **STEADY_INPUT)), "aresample", SOUND_RATE)
    sound = ffmpeg.filter(sound, "aformat", channel_layouts="mono|stereo")
    samples = round(audio_s * SOUND_RATE)
    sound = ffmpeg.filter(ffmpeg.filter(sound, "apad", whole_len=samples), "atrim", end_sample=samples)
    return ffmpeg.filter(sound, "asetpts", f"PTS+{late_s:.6f}/TB") if late_s else sound


def _codec_options(encoder: str, preset: str, crf: int, threads: int | None) -> dict[str, object]:
    if encoder == "h264_nvenc":
        # p4 is NVENC's middle preset; cq counts like crf. Neither was measured: no GPU was at hand.
        return {"vcodec": encoder, "preset": "p4", "rc": "vbr", "cq": crf, "b:v": 0}
    threads = threads or len(os.sched_getaffinity(0))  # x264 itself would count the host's cores, not the ones that we may use
    return {"vcodec": encoder, "preset": preset, "crf": crf, "threads": threads}
