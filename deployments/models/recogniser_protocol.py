"""What a classifier is to the recogniser: labels, how it wants its pictures, and logits for a batch of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from deployments.models.recogniser_labels import Label

Pixels = npt.NDArray[np.uint8]
Logits = npt.NDArray[np.float32]


class ModelMismatch(RuntimeError):
    """Weights that do not belong to the network or to its labels: they are refused, for a guess would look like an answer."""


@dataclass(frozen=True)
class Frame:
    """How a classifier wants a picture: a square of `side` px, cut from the middle, `share` of the shorter side.

    `mean` and `std` are those of the normalisation, in units of 0 to 255; the classifier applies them itself.
    """

    side: int
    share: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


class Classifier(Protocol):
    """A network with its labels. `logits` may be called from one thread at a time."""

    name: str
    version: str
    frame: Frame
    labels: Sequence[Label]

    def logits(self, pixels: Pixels) -> Logits:
        """(n, classes) of n pictures, (n, side, side, 3) RGB."""
        ...
