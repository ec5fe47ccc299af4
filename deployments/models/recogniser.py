"""What is on a picture: the face detector first, then a classifier, and no label where neither is sure.

The policy stands here, the networks elsewhere. Two steps, because a service batches only the second: `prepare` looks at one
picture, `classify` runs the classifier over many of them.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deployments.models.facemesh import FaceMesh
from deployments.models.recogniser_labels import PORTRAIT, Label
from deployments.models.recogniser_protocol import Classifier, Logits, Pixels
from deployments.models.recogniser_view import DROPPED_SHARE, View, view
from telemetry.errors import RequestError

FLOOR = 0.3
"""Probability below which no label is stated as a fact: what lies below is mostly nonsense (docs/recognition.md)."""

SURE_FACE = 0.9
"""Score of the face mesh from which a detection counts as a face (see deployments.preprocess.SURE)."""

PORTRAIT_SIDE = 0.1
"""Side of the largest face's box, as a share of the picture's shorter side, from which the picture is a portrait; a smaller face
only takes clothes out of the answer. A person who stands from head to foot in the picture has about 0.1."""

TOP = 3
"""Labels in an answer."""


@dataclass(frozen=True)
class Candidate:
    """A label and how sure its network is: a probability of the classifier, or for the portrait the face's score."""

    label: Label
    score: float


@dataclass(frozen=True)
class Prepared:
    """A picture as the classifier wants it, and what was seen before it."""

    view: View
    faces: int
    portrait: float | None
    """Score of the largest face where the picture is a portrait."""


@dataclass(frozen=True)
class Recognition:
    """The answer for one picture: at most TOP candidates; the portrait before all, then the likeliest first."""

    candidates: tuple[Candidate, ...]
    low_confidence: bool
    faces: int
    dropped_share: float
    logits: int
    """Classes that were compared."""

    @property
    def label(self) -> Label | None:
        """What the picture shows; None where nobody is sure."""
        return None if self.low_confidence else self.candidates[0].label

    @property
    def warnings(self) -> tuple[str, ...]:
        """Codes of what speaks against the answer: `low_confidence`, `crop_dropped` (much of the picture was not looked at)."""
        codes = {"low_confidence": self.low_confidence, "crop_dropped": self.dropped_share > DROPPED_SHARE}
        return tuple(code for code, applies in codes.items() if applies)


class Recogniser:
    """Detector and classifier together.

    `prepare` may be called from any thread: each has a detector of its own (10 MB), which keeps state while it runs. `classify`
    takes one thread at a time.
    """

    def __init__(self, classifier: Classifier, *, floor: float = FLOOR) -> None:
        self.classifier = classifier
        self.floor = floor
        self._worn = frozenset(label.index for label in classifier.labels if label.worn)
        self._threads = threading.local()

    def prepare(self, picture: Pixels) -> Prepared:
        """Looks for faces and cuts out the classifier's view of a picture (h, w, 3) RGB.

        Raises RequestError(image_blank) where the view is one colour: whatever a network says of it is made up.
        """
        seen = view(picture, self.classifier.frame)
        if seen.blank:
            shade = "black (all zeros)" if not seen.pixels.any() else "one colour"
            raise RequestError("image_blank", f"The picture is {shade}: nothing can be recognised.", field="image")
        faces, score = self._look_for_faces(picture)
        return Prepared(seen, faces, score)

    def _look_for_faces(self, picture: Pixels) -> tuple[int, float | None]:
        """How many faces surely are there, and the score of the largest where it makes the picture a portrait."""
        if not hasattr(self._threads, "faces"):
            self._threads.faces = FaceMesh()
        faces: FaceMesh = self._threads.faces
        found, portrait = 0, None
        for face in faces.glance(picture):
            sure = faces.fit(picture, face)[1]
            if sure < SURE_FACE:
                continue
            found += 1
            if portrait is None and face.area**0.5 >= PORTRAIT_SIDE * min(picture.shape[:2]):
                portrait = float(min(face.score, sure))
        return found, portrait

    def classify(self, batch: Sequence[Prepared]) -> list[Recognition]:
        """The answers for pictures that were prepared, in their order; one run of the classifier."""
        logits = self.classifier.logits(np.stack([one.view.pixels for one in batch]))
        return [self._answer(one, row) for one, row in zip(batch, softmax(logits), strict=True)]

    def _answer(self, one: Prepared, probabilities: npt.NDArray[np.float64]) -> Recognition:
        labels = self.classifier.labels
        barred = self._worn if one.faces else frozenset()
        likeliest = np.argsort(probabilities)[::-1][: TOP + len(barred)].tolist()
        candidates = [Candidate(labels[k], float(probabilities[k])) for k in likeliest if k not in barred]
        if one.portrait is not None:
            candidates.insert(0, Candidate(PORTRAIT, one.portrait))
        best = candidates[0].score if candidates else 0.0
        return Recognition(tuple(candidates[:TOP]), best < self.floor, one.faces, one.view.dropped_share, len(probabilities))


def softmax(logits: Logits) -> npt.NDArray[np.float64]:
    """Probabilities over the last axis. Raises RequestError(inference_diverged) where a logit is not finite."""
    if not np.isfinite(logits).all():
        raise RequestError("inference_diverged", "The classifier gave values that are no numbers.")
    wide = logits.astype(np.float64)
    grown = np.exp(wide - wide.max(axis=-1, keepdims=True))
    return grown / grown.sum(axis=-1, keepdims=True)
