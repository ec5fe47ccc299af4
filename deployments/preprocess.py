"""Stage preprocess_image: any picture to an upright crop with its face mesh, cached by content and parameters."""

from __future__ import annotations

import asyncio
from typing import Any

from ray import serve

from deployments.cache import PortraitCache
from deployments.config import StageConfig
from deployments.media.picture import PictureLimits, crop_portrait, decode_picture
from deployments.messages import PREPROCESS_IMAGE, StageAnswer
from deployments.models.facemesh import FaceMesh
from deployments.models.protocol import Portrait
from telemetry.context import RequestContext
from telemetry.errors import RequestError
from telemetry.tracing import stage


class Preprocessor:
    """Decode, find the face, fit the mesh, crop. One thread at a time: the face models keep state while they run."""

    def __init__(self, cache: PortraitCache, limits: PictureLimits):
        self._cache = cache
        self._limits = limits
        self._mesh = FaceMesh()

    def run(self, config: StageConfig, asset_id: str, expand_ratio: float, min_resolution: int) -> tuple[Portrait, dict[str, Any]]:
        """The portrait and the facts of it (`cache_hit`, `roi_width`, `roi_height`, `faces`, picture facts).

        Raises RequestError: image_undecodable, image_too_large, face_not_found.
        """
        key = self._cache.key(asset_id, expand_ratio=expand_ratio, min_resolution=min_resolution)
        if (cached := self._cache.get(key)) is not None:
            portrait, facts = cached
            return portrait, facts | {"cache_hit": True}
        picture = decode_picture(config.asset(asset_id), self._limits)
        faces = self._mesh.detect(picture.pixels)
        if not faces:
            raise RequestError("face_not_found", "No face was found in the portrait.", field="portrait")
        mesh, score = self._mesh.fit(picture.pixels, faces[0])
        crop = crop_portrait(picture.pixels, mesh, expand_ratio=expand_ratio, min_resolution=min_resolution)
        portrait = Portrait(crop.pixels, crop.mesh, digest=key)
        facts = {
            "roi_width": crop.roi_width,
            "roi_height": crop.roi_height,
            "faces": len(faces),
            "face_x": crop.x,
            "face_y": crop.y,
            "mesh_score": float(score),
            "picture_width": picture.pixels.shape[1],
            "picture_height": picture.pixels.shape[0],
            "format": picture.format,
            "mode": picture.mode,
            "orientation": picture.orientation,
            "had_alpha": picture.had_alpha,
        }
        self._cache.put(key, portrait, facts)
        return portrait, facts | {"cache_hit": False}


@serve.deployment(name=PREPROCESS_IMAGE)
class PreprocessImage:
    """Turns an uploaded picture into a `Portrait`."""

    def __init__(self, config: StageConfig):
        self._config = config
        self._telemetry = config.telemetry()
        cache = PortraitCache(config.data_dir / "cache", config.cache_bytes)
        self._preprocessor = Preprocessor(cache, config.picture_limits)
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
        advice = ("several_faces",) if facts["faces"] > 1 else ()
        height, width = portrait.pixels.shape[:2]
        return StageAnswer(span.fields, advice, portrait, (width, height))
