"""Stage preprocess_image: any picture to an upright crop with its face mesh, cached by content and parameters."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from ray import serve

from deployments.cache import PortraitCache
from deployments.config import StageConfig
from deployments.media.crop import outside_share
from deployments.media.picture import PictureLimits, crop_portrait, decode_picture
from deployments.media.sandbox import shared
from deployments.messages import PREPROCESS_IMAGE, StageAnswer
from deployments.models.facemesh import LOST, Face, FaceMesh, Mesh
from deployments.models.pose import too_far
from deployments.models.protocol import Portrait
from telemetry.context import RequestContext
from telemetry.errors import RequestError
from telemetry.tracing import stage

CUT_OFF_SHARE = 0.05
"""Share of the mesh outside the picture from which the face counts as cut off by its edge. Measured on two portraits whose picture
was cut within the face: a tenth of the face's width leaves 0 to 2 % of the mesh outside, a fifth 0 to 8 %, a third 13 to 15 %."""

SURE = 0.9
"""Mesh score of what is surely a face. Measured: 0.97 and more on the project's three portraits, also tilted, squeezed, covered or
cut through the middle; a drawn dog's head (0.59 from the detector) 0.18 to 0.83 at five sizes, alone always below LOST."""

FACES_TRIED = 5
"""Detections to which a mesh is fitted before the picture counts as one without a face."""


class Preprocessor:
    """Decode, find the face, fit the mesh, crop. One thread at a time: the face models keep state while they run."""

    def __init__(self, cache: PortraitCache, limits: PictureLimits):
        self._cache = cache
        self._limits = limits
        self._mesh = FaceMesh()

    def run(self, config: StageConfig, asset_id: str, expand_ratio: float, min_resolution: int) -> tuple[Portrait, dict[str, Any]]:
        """The portrait and the facts of it (`cache_hit`, `roi_width`, `roi_height`, `faces`, picture facts).

        Raises RequestError: asset_not_found, store_unreachable, image_undecodable, image_too_large, face_not_found.
        """
        key = self._cache.key(asset_id, expand_ratio=expand_ratio, min_resolution=min_resolution)
        if (cached := self._cache.get(key)) is not None:
            portrait, facts = cached
            return portrait, facts | {"cache_hit": True}
        with config.asset(asset_id) as path:
            picture = decode_picture(path, self._limits)
        faces = self._mesh.detect(picture.pixels)
        mesh, score = self._largest(picture.pixels, faces)
        crop = crop_portrait(picture.pixels, mesh, expand_ratio=expand_ratio, min_resolution=min_resolution)
        portrait = Portrait(crop.pixels, crop.mesh, digest=key)
        facts = {
            "roi_width": crop.roi_width,
            "roi_height": crop.roi_height,
            "faces": len(faces),
            "face_x": crop.x,
            "face_y": crop.y,
            "mesh_score": float(score),
            "face_turned": too_far(mesh),
            "face_cut_off": outside_share(mesh, picture.pixels.shape) >= CUT_OFF_SHARE,
            "picture_width": picture.pixels.shape[1],
            "picture_height": picture.pixels.shape[0],
            "format": picture.format,
            "mode": picture.mode,
            "orientation": picture.orientation,
            "had_alpha": picture.had_alpha,
        }
        self._cache.put(key, portrait, facts)
        return portrait, facts | {"cache_hit": False}

    def _largest(self, pixels: npt.NDArray[np.uint8], faces: list[Face]) -> tuple[Mesh, float]:
        """Mesh and score of the largest of `faces` (largest first) that is surely one, else of the largest that may be one."""
        doubtful: tuple[Mesh, float] | None = None
        for face in faces[:FACES_TRIED]:
            mesh, score = self._mesh.fit(pixels, face)
            if score >= SURE:
                return mesh, score
            if score >= LOST and doubtful is None:
                doubtful = mesh, score
        if doubtful is None:
            raise RequestError("face_not_found", "No face was found in the portrait.", field="portrait")
        return doubtful


def advice(facts: Mapping[str, Any]) -> tuple[str, ...]:
    """Codes of what a portrait has that speaks against it: `several_faces` (the largest is taken), `face_turned` (away from the
    camera), `face_cut_off` (by the picture's edge)."""
    codes = {"several_faces": facts["faces"] > 1, "face_turned": facts["face_turned"], "face_cut_off": facts["face_cut_off"]}
    return tuple(code for code, applies in codes.items() if applies)


@serve.deployment(name=PREPROCESS_IMAGE)
class PreprocessImage:
    """Turns an uploaded picture into a `Portrait`."""

    def __init__(self, config: StageConfig):
        self._config = config
        self._telemetry = config.telemetry()
        self._faults = config.faults()
        cache = PortraitCache(config.data_dir / "cache", config.cache_bytes)
        self._preprocessor = Preprocessor(cache, config.picture_limits)
        shared().warm("picture")  # the first portrait need not wait until Pillow is loaded
        self._one_at_a_time = asyncio.Lock()

    async def __call__(self, context: RequestContext, asset_id: str, expand_ratio: float, min_resolution: int) -> StageAnswer:
        """Raises RequestError: image_undecodable, image_too_large, face_not_found, deadline_exceeded."""
        with stage(self._telemetry, PREPROCESS_IMAGE, context) as span:
            log = self._telemetry.events.log_event
            log("input_start", span.context, input="portrait", portrait_hash=asset_id)
            with span.waiting():
                await self._one_at_a_time.acquire()
            try:
                context.check_deadline(PREPROCESS_IMAGE)
                await self._faults.strike(self._telemetry, span)
                portrait, facts = await asyncio.to_thread(
                    self._preprocessor.run, self._config, asset_id, expand_ratio, min_resolution
                )
            except RequestError as error:
                log("input_error", span.context, input="portrait", error_type=error.type)
                raise
            finally:
                self._one_at_a_time.release()
            span.event("face_found", **facts)
            span.set(roi_width=facts["roi_width"], roi_height=facts["roi_height"], cache_hit=facts["cache_hit"])
            log("input_success", span.context, input="portrait", **facts)
        self._telemetry.events.write_row("preprocess_complete", span.context, span.fields)
        height, width = portrait.pixels.shape[:2]
        return StageAnswer(span.fields, advice(facts), portrait, (width, height))
