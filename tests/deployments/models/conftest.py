"""A portrait, speech and the models, made once for this folder."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from scipy.io import wavfile

from deployments.models.facemesh import FaceMesh, Pixels
from deployments.models.lite import Lite
from deployments.models.protocol import SAMPLE_RATE, Portrait, Speech

MEDIA = Path(__file__).parents[3] / "sonoscope" / "media"
SIZE = 256
"""Side of the test portrait, px: large enough to measure lips, and a second of video takes 20 ms."""


@pytest.fixture(scope="session")
def face_mesh() -> FaceMesh:
    return FaceMesh()


@pytest.fixture(scope="session")
def astronaut() -> Pixels:
    return np.asarray(Image.open(MEDIA / "portrait_astronaut.png").convert("RGB"))


def cropped(face_mesh: FaceMesh, picture: Pixels, size: int = SIZE) -> Portrait:
    """A square around the largest face, with half a face of margin."""
    mesh, _ = face_mesh.fit(picture, face_mesh.detect(picture)[0])
    low, high = mesh[:, :2].min(0), mesh[:, :2].max(0)
    side = min(int((high - low).max() * 2), *picture.shape[:2])
    left, top = np.clip((low + high) / 2 - side / 2, 0, np.array(picture.shape[1::-1]) - side).astype(int).tolist()
    pixels = cv2.resize(picture[top : top + side, left : left + side], (size, size), interpolation=cv2.INTER_AREA).astype(np.uint8)
    moved = ((mesh - np.array([left, top, 0], np.float32)) * (size / side)).astype(np.float32)
    return Portrait(pixels, moved, digest=f"{picture.shape}{left}{top}{size}")


@pytest.fixture(scope="session")
def smiling(face_mesh: FaceMesh, astronaut: Pixels) -> Portrait:
    """A colour photograph, teeth showing."""
    return cropped(face_mesh, astronaut)


@pytest.fixture(scope="session")
def closed(face_mesh: FaceMesh) -> Portrait:
    """A painting, lips closed."""
    return cropped(face_mesh, np.asarray(Image.open(MEDIA / "painting_mona_lisa.jpg").convert("RGB")))


@pytest.fixture(scope="session")
def speech() -> Speech:
    """Seven seconds of English."""
    rate, samples = wavfile.read(MEDIA / "speech_en.wav")
    assert rate == SAMPLE_RATE
    return Speech(samples.astype(np.float32) / np.float32(32768))


@pytest.fixture(scope="session")
def lite() -> Lite:
    backend = Lite()
    backend.load("cpu")
    return backend
