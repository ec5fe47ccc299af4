"""What the stages are called and what they say to each other. Plain values: whoever only talks to a stage imports nothing heavy.

Arrays stand in these messages by value: Ray writes a large one into the object store once, passes a reference, and the reader sees
that memory. An ObjectRef of our own inside a message would be held by nobody between the sender's end and the reader's first look,
because Serve sends every answer as an item of a stream (seen: one request in fifty failed with ReferenceCountingAssertionError).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from telemetry.context import RequestContext
from telemetry.errors import RequestError
from telemetry.fields import STAGES

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from deployments.flow import CreditAddress
    from deployments.models.protocol import Portrait, Speech

LOAD_AUDIO, PREPROCESS_IMAGE, RUN_INFERENCE, ENCODE_VIDEO, MEASURE_SYNC = STAGES
RECOGNIZE = "recognize"
"""Name of the deployment: its stages are preprocess_image and run_inference, of a picture of its own."""


@dataclass(frozen=True)
class StageAnswer:
    """What a stage hands back: fields for the request's row, advice, and its product (a Speech or a Portrait)."""

    fields: dict[str, Any]
    advice: tuple[str, ...] = ()
    product: Any = None
    size: tuple[int, int] = (0, 0)
    """Width and height of a portrait, px."""


@dataclass(frozen=True)
class PictureTask:
    """A picture to be recognised: the request that it is, its asset id, the size of its file, and what is known of its name."""

    context: RequestContext
    image_hash: str
    bytes: int
    name: Mapping[str, Any]


@dataclass(frozen=True)
class PictureAnswer:
    """What came of a picture: fields and advice for its row, what the client is told, or the error that ended it."""

    fields: dict[str, Any]
    advice: tuple[str, ...] = ()
    told: dict[str, Any] | None = None
    error: RequestError | None = None


@dataclass(frozen=True)
class Progress:
    """A message on a stream: step k of n of inference, or frames encoded of all."""

    stage: str
    step: int
    steps: int


@dataclass(frozen=True)
class Frames:
    """A chunk of frames, uint8 (n, h, w, 3)."""

    pixels: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class StreamEnd:
    """The last message of a stream: fields for the request's row."""

    fields: dict[str, Any]


@dataclass(frozen=True)
class RenderTask:
    """What is to be rendered: parameters, the products of the first stages, and what the encoder must know of them."""

    parameters: Mapping[str, Any]
    portrait: Portrait
    speech: Speech
    audio_hash: str
    audio_s: float
    width: int
    height: int
    output_size: tuple[int, int] | None
    lifeline: CreditAddress | None = None
    """Where to notice that whoever asked for it is dead."""
