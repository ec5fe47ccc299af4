"""Following a face through cuts and through stretches without one."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from deployments.meter.mouth import SIGNALS, signals
from deployments.meter.track import track
from deployments.models.facemesh import FaceMesh

from .conftest import MEDIA, ffmpeg


def test_a_face_is_found_again_behind_a_cut_and_behind_a_second_without_one(face_mesh: FaceMesh, tmp_path: Path) -> None:
    stills = ("-loop", 1, "-framerate", 10, "-t", 1)
    shape = "scale=256:256,setsar=1,fps=10,format=yuv420p"
    ffmpeg(
        *stills, "-i", MEDIA / "portrait_astronaut.png", "-f", "lavfi", "-t", 1, "-i", "testsrc=size=256x256:rate=10",
        *stills, "-f", "image2", "-i", MEDIA / "painting_mona_lisa.jpg",
        "-filter_complex", f"[0]{shape}[a];[1]{shape}[b];[2]{shape}[c];[a][b][c]concat=n=3", tmp_path / "three.mp4",
    )  # fmt: skip
    found = track(tmp_path / "three.mp4", face_mesh)
    seen = np.isfinite(found.mouth[:, 0])
    assert len(found.times) == 30
    assert seen[:10].all()
    assert not seen[10:20].any()
    assert seen[20:].all()
    assert [int(found.shots[i]) for i in (9, 10, 20)] == [0, 1, 2]


def test_turning_nodding_and_coming_closer_do_not_move_the_mouth(face_mesh: FaceMesh) -> None:
    from deployments.media.picture import decode_picture

    picture = decode_picture(MEDIA / "portrait_astronaut.png").pixels
    still, _ = face_mesh.fit(picture, face_mesh.detect(picture)[0])
    moved = []
    for i in range(20):
        angle, size = 0.2 * np.sin(i / 3), 1 + 0.2 * np.cos(i / 4)
        turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
        moved.append(size * still @ turn.T + (5 * i, -3 * i, 0))
    mouth = signals(np.stack(moved).astype(np.float32))
    assert mouth.shape == (20, len(SIGNALS))
    assert np.ptp(mouth, axis=0).max() < 1e-3
