"""Every error that a request can end with: a stable type, its HTTP status, and the way out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ErrorType:
    """One row of the table: HTTP status, the hint when nothing better is known, and whether trying again can help."""

    name: str
    http_status: int
    hint: str
    retriable: bool = False


_ROWS = (
    ErrorType("invalid_parameter", 422, "Correct the named field; GET /openapi.json lists the allowed ranges."),
    ErrorType("audio_undecodable", 422, "Send speech as WAV, MP3, M4A, FLAC or OGG; check that the file plays."),
    ErrorType("audio_too_short", 422, "Send at least half a second of speech."),
    ErrorType("audio_too_long", 422, "Cut the recording into parts below the limit."),
    ErrorType("audio_silent", 422, "The recording holds no sound; check the microphone or the export."),
    ErrorType("image_undecodable", 422, "Send the picture as JPEG, PNG or WebP; check that the file opens."),
    ErrorType("image_too_large", 422, "Scale the picture down below the limit."),
    ErrorType("image_blank", 422, "Send a picture that shows something; if the file does, the program that wrote it lost it."),
    ErrorType("face_not_found", 422, "Send a picture with one face, seen from the front, at least 64 px wide."),
    ErrorType("path_invisible_characters", 422, "Rename the file: its name holds characters that cannot be seen."),
    ErrorType("unsupported_media", 415, "Send multipart/form-data, or JSON with asset ids."),
    ErrorType("too_large", 413, "Send a smaller file."),
    ErrorType("asset_not_found", 404, "Upload the file with POST /assets and use the id from the answer."),
    ErrorType("cancelled", 409, "The request was cancelled; send it again if that was not meant."),
    ErrorType("unauthorized", 401, "Send a valid API key or token."),
    ErrorType("forbidden", 403, "Ask for access."),
    ErrorType("rate_limited", 429, "Wait for the time in Retry-After.", retriable=True),
    ErrorType("overloaded", 503, "Wait for the time in Retry-After, then send it again.", retriable=True),
    ErrorType("out_of_memory", 503, "Lower min_resolution or send shorter audio.", retriable=True),
    ErrorType("replica_lost", 503, "The process that did the work died; send it again.", retriable=True),
    ErrorType(
        "store_unreachable", 503, "The artifact store does not answer; send it again, and look at artifacts_url.", retriable=True
    ),
    ErrorType("deadline_exceeded", 504, "Allow more time, or lower inference_steps or min_resolution."),
    ErrorType("encoder_timeout", 504, "Send it again; if it repeats, look at the encoder's host.", retriable=True),
    ErrorType("inference_diverged", 500, "Change the seed, or use the defaults of dynamic_scale and inference_steps."),
    ErrorType("encoder_failed", 500, "Run `sonoscope doctor`: it tries the encoder.", retriable=True),
    ErrorType("internal", 500, "Look the trace_id up with `sonoscope record`, and report it.", retriable=True),
    ErrorType("idempotency_mismatch", 422, "Use a new Idempotency-Key for a new order; the same key means the same order."),
    ErrorType("gone", 410, "Results are kept for a stated time only; make the video again."),
    ErrorType("not_found", 404, "Check the id; results are kept for a stated time only."),
)
ERROR_TYPES: dict[str, ErrorType] = {row.name: row for row in _ROWS}


class RequestError(Exception):
    """A request cannot go on. `type` is a name of `ERROR_TYPES`; it crosses process borders whole.

    `field` names the input at fault, `hint` the way out (the table's where none is given), `stage` where it happened.
    """

    retry_after_s: int | None = None
    """Seconds after which trying again makes sense, where whoever refuses knows; it does not cross process borders."""

    def __init__(self, type: str, message: str, *, field: str | None = None, hint: str | None = None, stage: str | None = None):
        super().__init__(message)
        self.type = type
        self.message = message
        self.field = field
        self.hint = hint or ERROR_TYPES[type].hint
        self.stage = stage

    @property
    def http_status(self) -> int:
        """Status of the answer."""
        return ERROR_TYPES[self.type].http_status

    @property
    def retriable(self) -> bool:
        """True where the same request may succeed later."""
        return ERROR_TYPES[self.type].retriable

    def as_dict(self) -> dict[str, Any]:
        """`type`, `message`, `field`, `hint`: the body of an error answer without its trace id."""
        return {"type": self.type, "message": self.message, "field": self.field, "hint": self.hint}

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self.type, self.message, self.field, self.hint, self.stage)


def _rebuild(type: str, message: str, field: str | None, hint: str | None, stage: str | None) -> RequestError:
    return RequestError(type, message, field=field, hint=hint, stage=stage)
