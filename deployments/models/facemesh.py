"""Finds faces and fits the 468-point mesh: Google's BlazeFace detectors and Face Mesh, run by OpenCV.

The three networks lie in `weights/` (see the README there). The geometry (anchors, crops, thresholds) is MediaPipe's own: graphs
face_detection_full_range, face_detection_short_range and face_landmark of the 0.4 package that the weights come from.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from importlib.resources import as_file, files

import cv2
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
Mesh = npt.NDArray[np.float32]

WEIGHTS = {
    "face_detection_full_range.tflite": "99bf9494d84f50acc6617d89873f71bf6635a841ea699c17cb3377f9507cfec3",
    "face_detection_short_range.tflite": "3bc182eb9f33925d9e58b5c8d59308a760f4adea8f282370e428c51212c26633",
    "face_landmark.tflite": "c603fa6149219a3e9487dc9abd7a0c24474c77263273d24868378cdf40aa26d1",
}
"""SHA-256 of each network, checked at load."""

EYE_RIGHT, EYE_LEFT = 33, 263
"""Outer eye corners of the mesh; "right" is the person's own."""
LIPS_UPPER_INNER = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
LIPS_LOWER_INNER = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
LIPS_OUTER = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146)

MIN_SCORE = 0.5
"""MediaPipe's floor for a detection; below it animals and textures begin."""
MAX_OVERLAP = 0.3
"""Intersection over union above which two boxes are the same face (MediaPipe's min_suppression_threshold)."""
LOST = 0.5
"""Mesh score below which `track` says that the face is lost (MediaPipe's min_tracking_confidence)."""
ROI_SCALE = 1.5
"""The landmark network wants the face's box enlarged by this (MediaPipe's face_detection_front_detection_to_roi)."""
TILES = (2, 4)
"""Tiles a side of the second and third look, for faces that are small in the picture. Tiles overlap by a fifth."""


class ChecksumError(RuntimeError):
    """A weights file is not the one that was tested: a broken download or a swapped file."""


@dataclass(frozen=True)
class Face:
    """One detected face, px of the picture."""

    box: tuple[float, float, float, float]
    """Left, top, right, bottom; from the brows to the chin, may reach past the picture's edge."""
    keypoints: npt.NDArray[np.float32]
    """(6, 2): right eye, left eye, nose tip, mouth, right ear, left ear."""
    score: float
    """0 to 1."""

    @property
    def area(self) -> float:
        """Area of the box, px²."""
        left, top, right, bottom = self.box
        return max(0.0, right - left) * max(0.0, bottom - top)


def read_weights(name: str) -> bytes:
    """The bytes of `weights/<name>`. Raises ChecksumError where they are not the ones of `WEIGHTS`."""
    data = files("deployments.models").joinpath("weights", name).read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != WEIGHTS[name]:
        raise ChecksumError(f"{name}: SHA-256 is {digest}, expected {WEIGHTS[name]}; install the package again")
    return data


def _network(name: str) -> cv2.dnn.Net:
    # The classic engine: OpenCV 5.0's new one fails on networks with two outputs ("number of requested and actual outputs").
    # From a path: reading from a buffer ignores the engine that is asked for.
    read_weights(name)
    with as_file(files("deployments.models").joinpath("weights", name)) as path:
        return cv2.dnn.readNetFromTFLite(str(path), cv2.dnn.ENGINE_CLASSIC)


def _anchors(grids: tuple[tuple[int, int], ...]) -> npt.NDArray[np.float32]:
    """(n, 2) anchor centres 0 to 1 of square grids given as (cells a side, anchors a cell), row by row."""
    parts = []
    for cells, each in grids:
        centre = (np.arange(cells) + 0.5) / cells
        y, x = np.meshgrid(centre, centre, indexing="ij")
        parts.append(np.repeat(np.stack([x, y], -1).reshape(-1, 2), each, axis=0))
    return np.concatenate(parts).astype(np.float32)


class _Detector:
    """One BlazeFace network with its input size, anchors and names of outputs."""

    def __init__(self, weights: str, size: int, grids: tuple[tuple[int, int], ...], outputs: tuple[str, str]):
        self.net = _network(weights)
        self.size = size
        self.anchors = _anchors(grids)
        self.outputs = outputs

    def __call__(self, rgb: Pixels) -> list[Face]:
        """Faces above MIN_SCORE in px of `rgb`, overlapping ones included."""
        height, width = rgb.shape[:2]
        scale = self.size / max(height, width)
        fit = cv2.resize(rgb, (max(1, round(width * scale)), max(1, round(height * scale))), interpolation=cv2.INTER_AREA)
        square = np.zeros((self.size, self.size, 3), np.float32)
        square[: fit.shape[0], : fit.shape[1]] = fit / 127.5 - 1.0
        self.net.setInput(square.transpose(2, 0, 1)[None])
        logits, raw = self.net.forward(self.outputs)
        scores = 1.0 / (1.0 + np.exp(-np.clip(logits.reshape(-1), -80, 80)))
        keep = scores >= MIN_SCORE
        values = raw.reshape(len(self.anchors), 8, 2)[keep]
        points = values / self.size + self.anchors[keep][:, None]
        points[:, 1] = values[:, 1] / self.size  # the second pair is the box's size, not a position
        points *= self.size / scale
        return [_face(p, float(s)) for p, s in zip(points, scores[keep], strict=True)]


def _face(points: npt.NDArray[np.float32], score: float) -> Face:
    (x, y), (w, h) = points[0].tolist(), points[1].tolist()
    return Face((x - w / 2, y - h / 2, x + w / 2, y + h / 2), points[2:], score)


class FaceMesh:
    """Detector and mesh together. One thread at a time: the networks keep their input and outputs inside.

    Loading takes about 30 ms and 10 MB. Raises ChecksumError where the weights are not the tested ones.
    """

    def __init__(self) -> None:
        # OpenCV's pool is one for the process; on networks this small a second thread gains nothing and takes a core from torch.
        cv2.setNumThreads(1)
        self._full = _Detector(
            "face_detection_full_range.tflite", 192, ((48, 1),), ("reshaped_classifier_face_4", "reshaped_regressor_face_4")
        )
        self._short = _Detector("face_detection_short_range.tflite", 128, ((16, 2), (8, 6)), ("classificators", "regressors"))
        self._mesh = _network("face_landmark.tflite")

    def detect(self, rgb: Pixels) -> list[Face]:
        """Faces in an RGB picture (h, w, 3), largest first; empty where there is none.

        The whole picture first; where that finds nothing, the picture with a wide edge (a face that fills it), overlapping tiles
        (small faces), then the picture turned by 35 degrees each way (tilted heads). One look takes 7 to 10 ms on one core, all of
        them 200 ms.
        """
        faces = self._full(rgb) or self._with_edge(rgb)
        for tiles in TILES:
            faces = faces or self._in_tiles(rgb, tiles)
        return sorted(_suppress(faces or self._turned(rgb)), key=lambda face: -face.area)

    def glance(self, rgb: Pixels) -> list[Face]:
        """As `detect`, with the first look alone: 7 to 10 ms also where there is no face, which then takes `detect` 200 ms.

        For pictures that need not show a face; one that is small in the picture, fills it or lies on its side may be missed.
        """
        return sorted(_suppress(self._full(rgb)), key=lambda face: -face.area)

    def _with_edge(self, rgb: Pixels) -> list[Face]:
        """A bearded face that filled its picture was found in none of 8 videos without an edge, and in all with one."""
        edge = min(rgb.shape[:2]) // 2
        wide = np.asarray(cv2.copyMakeBorder(rgb, edge, edge, edge, edge, cv2.BORDER_REPLICATE), np.uint8)
        return [_moved(face, np.array([[1, 0, -edge], [0, 1, -edge]], np.float32)) for face in self._full(wide)]

    def _in_tiles(self, rgb: Pixels, tiles: int) -> list[Face]:
        height, width = rgb.shape[:2]
        h, w = (math.ceil(side / tiles * 1.2) for side in (height, width))
        if min(h, w) < self._full.size:
            return []  # a tile would be enlarged, which adds nothing
        found: list[Face] = []
        for top in np.linspace(0, height - h, tiles).astype(int).tolist():
            for left in np.linspace(0, width - w, tiles).astype(int).tolist():
                tile = self._full(np.ascontiguousarray(rgb[top : top + h, left : left + w]))
                found += [_moved(face, np.array([[1, 0, left], [0, 1, top]], np.float32)) for face in tile]
        return found

    def _turned(self, rgb: Pixels) -> list[Face]:
        height, width = rgb.shape[:2]
        found: list[Face] = []
        for degrees in (35, -35):
            turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 0.8)
            faces = self._full(cv2.warpAffine(rgb, turn, (width, height)).astype(np.uint8))
            found += [_moved(face, np.asarray(cv2.invertAffineTransform(turn), np.float64)) for face in faces]
        return found

    def detect_fast(self, rgb: Pixels) -> list[Face]:
        """As `detect`, with the short-range network alone: 3 times as fast, for re-finding a known face in video.

        It takes animals for faces (7 of 12 tried, against 1 of 12 for the full-range network), so it is not for admission.
        """
        return sorted(_suppress(self._short(rgb)), key=lambda face: -face.area)

    def fit(self, rgb: Pixels, face: Face) -> tuple[Mesh, float]:
        """The mesh of `face`: (468, 3) float32 px (x, y, depth in the same scale) and the network's score 0 to 1.

        A first pass from the detection's box, a second from the first mesh, which makes the result independent of the box.
        """
        first, _ = self._run(rgb, *_roi_of_face(face))
        return self._run(rgb, *_roi_of_mesh(first))

    def track(self, rgb: Pixels, previous: Mesh) -> tuple[Mesh, float]:
        """The mesh in the next frame of a video, from the one before: no detector. A score below LOST: detect again."""
        return self._run(rgb, *_roi_of_mesh(previous))

    def _run(self, rgb: Pixels, centre: npt.NDArray[np.float64], side: float, angle: float) -> tuple[Mesh, float]:
        """The network on a turned square crop: `side` px, `angle` radians (of the line from right to left eye)."""
        size = 192
        cos, sin = math.cos(angle) * side / size, math.sin(angle) * side / size
        to_picture = np.array([[cos, -sin, 0.0], [sin, cos, 0.0]])
        to_picture[:, 2] = centre - to_picture[:, :2] @ (size / 2, size / 2)
        # Shrinking without a filter makes landmarks jitter: at a side above two crops, the picture is shrunk by areas first.
        shrink = max(1.0, side / (2 * size))
        source = rgb if shrink == 1.0 else cv2.resize(rgb, None, fx=1 / shrink, fy=1 / shrink, interpolation=cv2.INTER_AREA)
        crop = cv2.warpAffine(source, to_picture / shrink, (size, size), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
        self._mesh.setInput(np.ascontiguousarray((crop / np.float32(255)).transpose(2, 0, 1)[None], np.float32))
        flag, points = self._mesh.forward(("conv2d_31", "conv2d_21"))
        points = points.reshape(468, 3)
        mesh = np.empty((468, 3), np.float32)
        mesh[:, :2] = points[:, :2] @ to_picture[:, :2].T + to_picture[:, 2]
        mesh[:, 2] = points[:, 2] * side / size
        return mesh, float(1.0 / (1.0 + np.exp(-flag.item())))


def _angle(right_eye: npt.NDArray[np.float32], left_eye: npt.NDArray[np.float32]) -> float:
    dx, dy = (left_eye - right_eye)[:2].tolist()
    return math.atan2(dy, dx)


def _roi_of_face(face: Face) -> tuple[npt.NDArray[np.float64], float, float]:
    left, top, right, bottom = face.box
    side = ROI_SCALE * max(right - left, bottom - top)
    return np.array([(left + right) / 2, (top + bottom) / 2]), side, _angle(face.keypoints[0], face.keypoints[1])


def _roi_of_mesh(mesh: Mesh) -> tuple[npt.NDArray[np.float64], float, float]:
    angle = _angle(mesh[EYE_RIGHT], mesh[EYE_LEFT])
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    upright = mesh[:, :2] @ turn
    low, high = upright.min(0), upright.max(0)
    return turn @ ((low + high) / 2), ROI_SCALE * float((high - low).max()), angle


def _moved(face: Face, affine: npt.NDArray[np.floating]) -> Face:
    """`face` under a similarity (2, 3); its box stays upright around the moved centre."""
    left, top, right, bottom = face.box
    x, y = affine @ ((left + right) / 2, (top + bottom) / 2, 1.0)
    scale = math.sqrt(abs(np.linalg.det(affine[:, :2])))
    w, h = (right - left) * scale / 2, (bottom - top) * scale / 2
    points = face.keypoints @ affine[:, :2].T + affine[:, 2]
    return Face((x - w, y - h, x + w, y + h), points.astype(np.float32), face.score)


def _suppress(faces: list[Face]) -> list[Face]:
    """The best of each group of overlapping faces."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: -face.score):
        if all(_overlap(face, other) < MAX_OVERLAP for other in kept):
            kept.append(face)
    return kept


def _overlap(one: Face, two: Face) -> float:
    """Intersection over union, 0 to 1; 1 where one box lies mostly inside the other."""
    width = min(one.box[2], two.box[2]) - max(one.box[0], two.box[0])
    height = min(one.box[3], two.box[3]) - max(one.box[1], two.box[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    if both > 0.7 * min(one.area, two.area):
        return 1.0
    return both / (one.area + two.area - both)
