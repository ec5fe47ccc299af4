"""Follows the face through every decoded frame of a video."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import av
import cv2
import numpy as np
import numpy.typing as npt

from deployments.media.probe import open_media
from deployments.meter.mouth import SIGNALS, signals
from deployments.models.facemesh import LOST, FaceMesh, Mesh, Pixels

MAX_SIDE = 960
"""Longer side of the picture that is looked at, px. A face of a third of it still fills the mesh network's 192 px input."""
LONGEST_S = 600.0
"""What comes after is not looked at."""
CUT_LUMA = 14.0
"""Mean absolute change of luma (0..255, at 32 x 32) that makes a cut, where it is also CUT_RATIO times the usual change."""
CUT_RATIO = 6.0
SEARCH_EVERY_S = 0.5
"""Where there is no face, it is searched for so often: a thorough look takes 0.2 s."""
_SMALL = 32


@dataclass(frozen=True)
class Track:
    """The mouth over time. n frames were decoded; the face was found in some of them."""

    times: npt.NDArray[np.float64]
    """(n,) presentation times, seconds on the container's clock."""
    mouth: npt.NDArray[np.float64]
    """(n, len(SIGNALS)); NaN where there is no face."""
    shots: npt.NDArray[np.int64]
    """(n,) number of the shot: counts up at every cut."""
    truncated: bool
    """True where the video goes on after LONGEST_S."""

    @property
    def face_share(self) -> float:
        """Share of the frames with a face, 0 to 1."""
        return float(np.isfinite(self.mouth[:, 0]).mean()) if len(self.times) else 0.0


class Tick(Protocol):
    """Called after each frame with the seconds of video that are done; what it raises ends the tracking."""

    def __call__(self, seconds: float) -> None: ...


def track(path: Path, face_mesh: FaceMesh, on_frame: Tick | None = None) -> Track:
    """The first video stream of `path`, frame by frame.

    Raises RequestError(invalid_parameter, field="file") for what is no media file; what `on_frame` raises goes through.
    """
    follower = _Follower(face_mesh)
    times: list[float] = []
    truncated = False
    with open_media(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        for frame in container.decode(stream):
            if frame.pts is None or frame.time_base is None:
                continue
            time = float(frame.pts * frame.time_base)
            if times and time <= times[-1]:
                continue
            if times and time - times[0] > LONGEST_S:
                truncated = True
                break
            times.append(time)
            follower.look(_rgb(frame), time)
            if on_frame is not None:
                on_frame(time - times[0])
    return Track(np.array(times), follower.mouth(), np.array(follower.shots, np.int64), truncated)


def _rgb(frame: av.VideoFrame) -> Pixels:
    """The frame as RGB, at most MAX_SIDE px on its longer side."""
    scale = min(1.0, MAX_SIDE / max(frame.width, frame.height))
    width, height = (max(2, round(side * scale)) for side in (frame.width, frame.height))
    return np.asarray(frame.to_ndarray(format="rgb24", width=width, height=height), np.uint8)


class _Follower:
    """State of the search from one frame to the next."""

    def __init__(self, face_mesh: FaceMesh) -> None:
        self._mesh = face_mesh
        self._last: Mesh | None = None
        self._small: npt.NDArray[np.float32] | None = None
        self._usual = 1.0
        self._searched = -np.inf
        self._meshes: list[Mesh | None] = []
        self.shots: list[int] = []

    def look(self, rgb: Pixels, time: float) -> None:
        """Takes the next frame."""
        cut = self._is_cut(rgb)
        self.shots.append((self.shots[-1] if self.shots else 0) + int(cut))
        if cut:
            self._last = None
            self._searched = -np.inf
        found = None
        if self._last is not None:
            found, score = self._mesh.track(rgb, self._last)
            if score < LOST:
                found = self._search(rgb, time, thorough=False)
        if found is None:
            found = self._search(rgb, time, thorough=True)
        self._last = found
        self._meshes.append(found)

    def _search(self, rgb: Pixels, time: float, *, thorough: bool) -> Mesh | None:
        if thorough and time - self._searched < SEARCH_EVERY_S:
            return None
        if thorough:
            self._searched = time
        faces = self._mesh.detect(rgb) if thorough else self._mesh.detect_fast(rgb)
        if not faces:
            return None
        mesh, score = self._mesh.fit(rgb, faces[0])
        return mesh if score >= LOST else None

    def _is_cut(self, rgb: Pixels) -> bool:
        small = cv2.resize(rgb, (_SMALL, _SMALL), interpolation=cv2.INTER_AREA).mean(2, dtype=np.float32)
        before, self._small = self._small, small
        if before is None:
            return False
        change = float(np.abs(small - before).mean())
        cut = change > max(CUT_LUMA, CUT_RATIO * self._usual)
        if not cut:
            self._usual = 0.9 * self._usual + 0.1 * change
        return cut

    def mouth(self) -> npt.NDArray[np.float64]:
        """(n, len(SIGNALS)) of all frames so far, NaN where there was no face."""
        out = np.full((len(self._meshes), len(SIGNALS)), np.nan)
        seen = [i for i, mesh in enumerate(self._meshes) if mesh is not None]
        if seen:
            out[seen] = signals(np.stack([mesh for mesh in self._meshes if mesh is not None]))
        return out
