"""What the stages are called and what they say to each other. Plain values: whoever only talks to a stage imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from telemetry.fields import STAGES

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from ray import ObjectRef

    from deployments.models.protocol import Portrait, Speech

LOAD_AUDIO, PREPROCESS_IMAGE, RUN_INFERENCE, ENCODE_VIDEO, MEASURE_SYNC = STAGES


@dataclass(frozen=True)
class StageAnswer:
    """What a stage hands back: fields for the request's row, advice, and its product by reference.

    The product stays in the object store: whoever passes it on never touches the bytes.
    """

    fields: dict[str, Any]
    advice: tuple[str, ...] = ()
    product: ObjectRef[Any] | None = None
    size: tuple[int, int] = (0, 0)
    """Width and height of a portrait, px."""


@dataclass(frozen=True)
class Progress:
    """A message on a stream: step k of n of inference, or frames encoded of all."""

    stage: str
    step: int
    steps: int


@dataclass(frozen=True)
class Frames:
    """A chunk of frames, uint8 (n, h, w, 3).

    As an item of a stream it travels by reference: Ray writes it into the object store once, and the reader sees that memory. An
    ObjectRef inside the item would be a reference that nobody holds between the writer's end and the reader's first look (seen: one
    request in fifty failed with ReferenceCountingAssertionError).
    """

    pixels: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class StreamEnd:
    """The last message of a stream: fields for the request's row."""

    fields: dict[str, Any]


@dataclass(frozen=True)
class RenderTask:
    """What is to be rendered: parameters, the products of the first stages by reference, and what the encoder must know of them."""

    parameters: Mapping[str, Any]
    portrait: ObjectRef[Portrait]
    speech: ObjectRef[Speech]
    audio_hash: str
    audio_s: float
    width: int
    height: int
    output_size: tuple[int, int] | None
