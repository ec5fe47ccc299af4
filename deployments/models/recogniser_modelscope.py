"""ModelScope's `cv_resnest101_general_recognition` from a directory that the user provides: `pytorch_model.pt`, `meta_info.txt`.

What its own pipeline does not: probabilities instead of the largest raw logit, as many labels as asked for, batches, and a refusal
of weights that do not fit (the pipeline skips them without a word and answers from a random network).
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from deployments.models import recogniser_resnest as resnest
from deployments.models.recogniser_labels import Label
from deployments.models.recogniser_protocol import Frame, Logits, ModelMismatch, Pixels

WEIGHTS, LABELS = "pytorch_model.pt", "meta_info.txt"
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class ModelScopeRecogniser:
    """The classifier, on `device` (a torch device)."""

    name = "modelscope"
    frame = Frame(
        side=224,
        share=224 / 256,
        mean=(_MEAN[0] * 255, _MEAN[1] * 255, _MEAN[2] * 255),
        std=(_STD[0] * 255, _STD[1] * 255, _STD[2] * 255),
    )

    def __init__(self, folder: Path, *, device: str = "cpu", threads: int = 1) -> None:
        """Loads weights and labels. Raises ModelMismatch where they do not belong together, OSError where one is missing."""
        torch.set_num_threads(threads)
        self.labels = read_labels(folder / LABELS)
        state = read_state(folder / WEIGHTS)
        self._model = resnest.load(state).to(device)
        classes = self._model.fc.out_features
        if classes != len(self.labels):
            raise ModelMismatch(f"{LABELS} has {len(self.labels)} labels, {WEIGHTS} {classes} classes: they do not belong together")
        digest = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
        self.version = f"modelscope-resnest-{digest[:8]}"
        self._device = device
        self._mean, self._std = (torch.tensor(one, device=device).view(3, 1, 1) for one in (self.frame.mean, self.frame.std))

    @torch.inference_mode()
    def logits(self, pixels: Pixels) -> Logits:
        """(n, classes) of n pictures, (n, 224, 224, 3) RGB."""
        x = torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))).to(self._device).float()
        return self._model((x - self._mean) / self._std).float().cpu().numpy()


def read_state(path: Path) -> dict[str, torch.Tensor]:
    """The weights of a file without running code of it; wrappings of training (`state_dict`, `module.`) taken off.

    Raises ModelMismatch where it holds anything but weights, OSError.
    """
    try:
        held: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, ValueError, ImportError, pickle.UnpicklingError) as error:
        raise ModelMismatch(f"{path.name} is no file of weights: {str(error).splitlines()[0][:200]}") from None
    held = held.get("state_dict", held) if isinstance(held, dict) else held
    if not isinstance(held, dict) or not all(isinstance(value, torch.Tensor) for value in held.values()):
        raise ModelMismatch(f"{path.name} holds no table of weights")
    return {str(name).removeprefix("module.").replace(".module.", "."): value for name, value in held.items()}


def read_labels(path: Path) -> Sequence[Label]:
    """One label a line, the second of the fields that tabs separate. Raises ModelMismatch, OSError."""
    lines = path.read_text("utf-8").rstrip("\n").split("\n")
    labels: list[Label] = []
    for number, line in enumerate(lines):
        parts = line.rstrip("\r").split("\t")
        if len(parts) < 2 or not parts[1].strip():
            raise ModelMismatch(f"{path.name} has no label in line {number + 1}")
        labels.append(Label(number, parts[1].strip(), parts[1].strip()))
    return labels
