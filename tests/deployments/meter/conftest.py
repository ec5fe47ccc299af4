"""One short video made by `lite`, and ways to spoil it with ffmpeg."""

from __future__ import annotations

import subprocess
import wave
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest

from deployments.media.crop import crop_portrait
from deployments.media.encode import VideoWriter
from deployments.media.picture import decode_picture
from deployments.models.facemesh import FaceMesh
from deployments.models.lite import Lite
from deployments.models.protocol import SAMPLE_RATE, Portrait, Speech, frame_count
from telemetry import fields

MEDIA = Path(__file__).parents[3] / "sonoscope" / "media"
SECONDS = 5.0


def ffmpeg(*arguments: object) -> None:
    """Runs ffmpeg; fails the test with its words."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-nostdin", "-loglevel", "error", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def face_mesh() -> FaceMesh:
    return FaceMesh()


@pytest.fixture(scope="session")
def talking(tmp_path_factory: pytest.TempPathFactory, face_mesh: FaceMesh) -> Path:
    """Five seconds of the astronaut speaking English, sound and picture as the service muxes them."""
    folder = tmp_path_factory.mktemp("talking")
    with wave.open(str(MEDIA / "speech_en.wav")) as file:
        sound = np.frombuffer(file.readframes(int(SECONDS * SAMPLE_RATE)), np.int16)
    speech = Speech((sound / 32768).astype(np.float32))
    picture = decode_picture(MEDIA / "portrait_astronaut.png").pixels
    mesh, _ = face_mesh.fit(picture, face_mesh.detect(picture)[0])
    crop = crop_portrait(picture, mesh, expand_ratio=0.18, min_resolution=192)
    height, width = crop.pixels.shape[:2]
    backend = Lite()
    backend.load("cpu")
    path = folder / "talking.mp4"
    with VideoWriter(
        path, width=width, height=height, fps=25.0, frames=frame_count(SECONDS, 25.0), audio=MEDIA / "speech_en.wav",
        audio_s=SECONDS, request_id="test",
    ) as writer:  # fmt: skip
        parameters = fields.defaults() | {"seed": 1}
        for frames in backend.generate(Portrait(crop.pixels, crop.mesh, "test"), speech, parameters, lambda k, n: None):
            writer.write(frames)
        writer.finish()
    return path
