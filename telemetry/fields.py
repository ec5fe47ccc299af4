"""The one table of names.

A name that stands here is the HTTP field, the span attribute, the event field, the column and the widget key. Validation, defaults,
advice, OpenAPI text, the Arrow schema and the command line's options are derived from these rows; nothing else lists them.

Types are fixed for ever: an int stays an int and a float is always written as a float, because TraceQL compares by type (an int
literal against a float attribute finds nothing, without an error). The schema only grows; `SCHEMA_VERSION` counts its growth.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import pyarrow as pa

SCHEMA_VERSION = 1

Kind = Literal["parameter", "outcome", "identity"]
DType = Literal["int", "float", "bool", "str", "list", "time"]
Value = int | float | bool | str | list[str] | None

STAGES = ("load_audio", "preprocess_image", "run_inference", "encode_video", "measure_sync")
"""Span names of the stages, in the order in which they end."""

RECORD_SPANS = {"generate": "sonic_generation", "recognize": "recognition"}
"""Name of the record span of each operation: readers find it by name, never by a missing parent."""


@dataclass(frozen=True)
class Field:
    """One name of the vocabulary.

    `advised` is the range inside which we give no advice; `null` says what a missing value means; `aliases` are names that existing
    clients send for it.
    """

    name: str
    kind: Kind
    dtype: DType
    meaning: str
    unit: str = ""
    default: Value = None
    minimum: float | None = None
    maximum: float | None = None
    multiple_of: int | None = None
    choices: tuple[str, ...] = ()
    advised: tuple[float, float] | None = None
    null: str = ""
    aliases: tuple[str, ...] = ()

    @property
    def nullable(self) -> bool:
        """True where a request may leave the value open (it is then drawn or measured)."""
        return self.default is None

    @property
    def allowed(self) -> str:
        """The allowed range in words, as it stands in errors, in OpenAPI and in --help."""
        if self.choices:
            return " or ".join(self.choices)
        if self.minimum is None and self.maximum is None:
            return {"bool": "true or false"}.get(self.dtype, "any")
        span = f"{_number(self.minimum)} to {_number(self.maximum)}"
        return f"{span}, a multiple of {self.multiple_of}" if self.multiple_of else span

    @property
    def help(self) -> str:
        """Meaning, unit, allowed and advised range in one line."""
        parts = [self.meaning + (f" ({self.unit})" if self.unit else "")]
        if self.kind == "parameter":
            parts.append(f"allowed: {self.allowed}")
        if self.advised:
            parts.append(f"advised: {_number(self.advised[0])} to {_number(self.advised[1])}")
        if self.null:
            parts.append(f"empty: {self.null}")
        return "; ".join(parts)

    def cast(self, value: Any) -> Value:
        """`value` in this field's own type, for a span attribute, an event or a column.

        Returns None for None and for a float that is not finite (a NaN would poison sums in Tempo and is not JSON).
        Raises ValueError or TypeError where the value cannot be of this type.
        """
        if value is None:
            return None
        match self.dtype:
            case "float":
                number = float(value)
                return number if math.isfinite(number) else None
            case "int" | "time":
                return int(value)
            case "bool":
                return bool(value)
            case "list":
                return [str(item) for item in value]
            case "str":
                return str(value)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.10g}"


def _parameter(name: str, dtype: DType, default: Value, meaning: str, **more: Any) -> Field:
    return Field(name, "parameter", dtype, meaning, default=default, **more)


def _outcome(name: str, dtype: DType, meaning: str, unit: str = "", null: str = "") -> Field:
    return Field(name, "outcome", dtype, meaning, unit=unit, null=null)


def _identity(name: str, dtype: DType, meaning: str) -> Field:
    return Field(name, "identity", dtype, meaning)


PARAMETERS: tuple[Field, ...] = (
    _parameter("inference_steps", "int", 25, "denoising steps; cost is linear", minimum=1, maximum=100, advised=(20, 30)),
    _parameter("dynamic_scale", "float", 1.0, "strength of motion", minimum=0.5, maximum=2.0, advised=(1.0, 1.2)),
    _parameter(
        "min_resolution", "int", 512, "short side of the picture", unit="px",
        minimum=128, maximum=1024, multiple_of=64, advised=(384, 1024),
    ),
    _parameter(
        "expand_ratio", "float", 0.18, "margin around the face, each side, as a share of its box",
        minimum=0.0, maximum=1.0, advised=(0.15, 0.2),
    ),
    _parameter(
        "duration_s", "float", None, "asked length; corrected to the audio's", unit="s",
        minimum=0.5, maximum=600.0, null="the audio's length", aliases=("duration",),
    ),
    _parameter("fps", "float", 25.0, "frames a second", unit="frames/s", minimum=10.0, maximum=60.0, advised=(25.0, 25.0)),
    _parameter("seed", "int", None, "seed of everything random", minimum=0, maximum=2**31 - 1, null="drawn, then recorded"),
    _parameter("keep_resolution", "bool", False, "scale the result back to the picture's own size"),
    _parameter("model_name", "str", "lite", "which backend makes the video", choices=("lite", "sonic")),
)  # fmt: skip

_MEASURED = "not measured: see sync_reason"
_NOT_RECOGNISED = "not a recognition, or it failed"
_NO_PICTURE = "not a recognition, or not decoded"

OUTCOMES: tuple[Field, ...] = (
    _outcome("audio_offset_ms", "float", "signed offset of the sound, positive = late against the lips", "ms", _MEASURED),
    _outcome("audio_drift_ms", "float", "absolute offset of the sound against the lips", "ms", _MEASURED),
    _outcome("sync_confidence", "float", "confidence of the sync measurement, 0 to 1", null=_MEASURED),
    _outcome("sync_reason", "str", "measured, not_sure, no_face, silent, off, not_sampled or failed"),
    _outcome("lip_match", "float", "how well the mouth follows the speech at the best lag, 0 to 1", null=_MEASURED),
    _outcome("duration_drift_ms", "float", "video length minus audio length in the file", "ms", "no file"),
    _outcome("frozen_tail_ms", "float", "unmoving frames at the end under speech", "ms", "not measured"),
    _outcome("audio_start_ms", "float", "start of the sound after the start of the picture in the file", "ms", "not measured"),
    _outcome("requested_duration_s", "float", "the length that was asked for, where it was corrected", "s", "not corrected"),
    _outcome("lowered_min_resolution", "int", "what min_resolution was lowered to when memory ran out", "px", "not lowered"),
    _outcome("video_s", "float", "length of the video stream in the file", "s", "no file"),
    _outcome("audio_s", "float", "length of the audio", "s", "audio not decoded"),
    _outcome("video_fps", "float", "frames a second in the file", "frames/s", "no file"),
    _outcome("video_frames", "int", "frames in the file", null="no file"),
    _outcome("width", "int", "width of the file's picture", "px", "no file"),
    _outcome("height", "int", "height of the file's picture", "px", "no file"),
    _outcome("roi_width", "int", "width of the crop in the uploaded picture", "px", "no face was found"),
    _outcome("roi_height", "int", "height of the crop in the uploaded picture", "px", "no face was found"),
    _outcome("video_format", "str", "container and codecs", null="no file"),
    _outcome("encoder", "str", "the video encoder that was used", null="not encoded"),
    _outcome("latency_s", "float", "acceptance to final file", "s"),
    _outcome("rtf", "float", "latency divided by video seconds", null="no file"),
    _outcome("device_s", "float", "seconds of the device's work", "s", "inference did not end"),
    _outcome("peak_memory_mb", "float", "peak resident memory of the inference process", "MB", "inference did not end"),
    _outcome("device_memory_mb", "float", "peak memory on the device", "MB", "no GPU"),
    _outcome("status", "str", "ok, error or cancelled"),
    _outcome("http_status", "int", "status of the answer"),
    _outcome("response_bytes", "int", "size of the result", "bytes", "no file"),
    _outcome("error_type", "str", "stable name of the error", null="no error"),
    _outcome("error_message", "str", "the error in words", null="no error"),
    _outcome("failed_stage", "str", "the stage that failed, or admission", null="no error"),
    _outcome("advice", "list", "codes of what was legal but ill-advised"),
    *(
        _outcome(f"{stage}{suffix}", "float", f"{words} of {stage}", "ms", "the stage did not run")
        for stage in STAGES
        for suffix, words in (("_ms", "wall time"), ("_busy_ms", "time without waiting"))
    ),
    _outcome("queue_wait_ms", "float", "acceptance to start of the work", "ms"),
    _outcome("cache_hit", "bool", "preprocessing came from the cache", null="preprocessing did not run"),
    _outcome(
        "invisible_characters",
        "list",
        "characters in the names of its files that cannot be seen, as code points (U+200B)",
        null="none, or no name was sent",
    ),
    _outcome("top1_label", "str", "likeliest label, in English; a fact only without low_confidence", null=_NOT_RECOGNISED),
    _outcome("top1_score", "float", "how sure of it, 0 to 1", null=_NOT_RECOGNISED),
    _outcome("top3_labels", "list", "the three likeliest labels, in English"),
    _outcome("low_confidence", "bool", "no label was sure enough to be stated", null=_NOT_RECOGNISED),
    _outcome("faces", "int", "faces in the picture", null=_NOT_RECOGNISED),
    _outcome("crop_dropped_share", "float", "share of the picture outside the classifier's square, 0 to 1", null=_NOT_RECOGNISED),
    _outcome("input_width", "int", "width of the recognised picture, upright", "px", _NO_PICTURE),
    _outcome("input_height", "int", "height of the recognised picture, upright", "px", _NO_PICTURE),
    _outcome("input_channels", "int", "channels of the pixels in its file", null=_NO_PICTURE),
    _outcome("input_format", "str", "format of its file and mode of the pixels in it, such as PNG/RGB", null=_NO_PICTURE),
    _outcome("input_brightness", "float", "mean of what the classifier saw, 0 to 1", null=_NO_PICTURE),
    _outcome("input_bytes", "int", "size of its file", "bytes", "not a recognition"),
    _outcome("clock_skew", "bool", "a wait across processes was negative and was clamped at 0"),
    _outcome("user_score", "int", "a person's judgement: -1, 0 or 1", null="nobody judged"),
    _outcome("user_comment", "str", "a person's words", null="nobody commented"),
)

IDENTITY: tuple[Field, ...] = (
    _identity("operation", "str", "generate or recognize"),
    _identity("request_id", "str", "made by the server, UUIDv7; also the video's name"),
    _identity("client_request_id", "str", "the client's X-Request-ID; never a path"),
    _identity("trace_id", "str", "32 hexadecimal digits, lower case"),
    _identity("job_id", "str", "the job that did the work"),
    _identity("attempt", "int", "which attempt of the job, from 1"),
    _identity("replay_of", "str", "the request that this one repeats"),
    _identity("experiment", "str", "name of the experiment"),
    _identity("block", "str", "block of the randomised experiment"),
    _identity("arm", "str", "what was tried in it: settings in words, or as it was"),
    _identity("randomized", "bool", "the settings were drawn at random"),
    _identity("synthetic", "bool", "made by a test or a drill"),
    _identity("department", "str", "who pays"),
    _identity("owner_hash", "str", "keyed hash of the person who asked"),
    _identity("client_hash", "str", "keyed hash of the client's address"),
    _identity("source_prefix", "str", "folder or manifest that a batch came from"),
    _identity("audio_hash", "str", "SHA-256 of the audio's bytes = asset id"),
    _identity("portrait_hash", "str", "SHA-256 of the portrait's bytes = asset id"),
    _identity("image_hash", "str", "SHA-256 of the recognised picture's bytes = asset id"),
    _identity("name_hash", "str", "keyed hash of the recognised file's name, as it looks (normalised)"),
    _identity("batch_id", "str", "the HTTP request that brought several pictures; each of them is a request of its own"),
    _identity("replica", "str", "replica of inference"),
    _identity("host", "str", "host of inference"),
    _identity("device", "str", "device of inference"),
    _identity("model_version", "str", "version of the backend"),
    _identity("sampling_weight", "float", "how many requests this trace stands for"),
    _identity("started_at", "time", "acceptance, UTC, nanoseconds since 1970"),
    _identity("ended_at", "time", "end, UTC, nanoseconds since 1970"),
)

LABELS = ("experiment", "block", "arm", "randomized", "replay_of", "synthetic", "source_prefix")
"""Identity that a request states of itself, beside its parameters: what it is part of."""

FIELDS: tuple[Field, ...] = PARAMETERS + OUTCOMES + IDENTITY
BY_NAME: dict[str, Field] = {field.name: field for field in FIELDS}

EVENT_TYPES = (
    "request_received", "input_start", "input_success", "input_error", "preprocess_complete", "inference_complete",
    "encode_complete", "sync_measured", "advice", "user_score", "fault_injected", "attempt_failed",
    "business_output", "request_failed",
)  # fmt: skip
TERMINAL_EVENTS = ("business_output", "request_failed")
"""Exactly one of them ends every request, and it is the flat row."""

EVENT_FIELDS = {
    "@timestamp": "time", "event_id": "str", "event_type": "str", "trace.id": "str", "span.id": "str",
    "host.name": "str", "process.pid": "int", "service.name": "str", "service.version": "str",
    "deployment.environment.name": "str", "schema_version": "int",
}  # fmt: skip
"""Names of ECS and OpenTelemetry that stand on every event beside our own."""


def cast_row(values: Mapping[str, Any]) -> dict[str, Value]:
    """`values` with every known field in its own type; None and unknown names are left out."""
    row = ((name, BY_NAME[name].cast(value)) for name, value in values.items() if name in BY_NAME)
    return {name: value for name, value in row if value is not None}


def defaults() -> dict[str, Value]:
    """Every parameter's default (None = left open)."""
    return {field.name: field.default for field in PARAMETERS}


def names(kind: Kind) -> Iterator[str]:
    """The names of one kind, in the table's order."""
    return (field.name for field in FIELDS if field.kind == kind)


def advise(parameters: Mapping[str, Any]) -> list[str]:
    """Codes (`<name>_low`, `<name>_high`) of the values that are legal but outside the advised range."""
    codes: list[str] = []
    for field in PARAMETERS:
        value = parameters.get(field.name)
        if field.advised is None or value is None:
            continue
        low, high = field.advised
        if value < low:
            codes.append(f"{field.name}_low")
        elif value > high:
            codes.append(f"{field.name}_high")
    return codes


def arrow_schema() -> pa.Schema:
    """The Arrow schema of one request row: every field, nullable, its meaning and unit as metadata."""
    import pyarrow as pa

    types: dict[DType, pa.DataType] = {
        "int": pa.int64(), "float": pa.float64(), "bool": pa.bool_(), "str": pa.string(),
        "list": pa.list_(pa.string()), "time": pa.timestamp("ns", tz="UTC"),
    }  # fmt: skip
    columns = [pa.field(f.name, types[f.dtype], metadata={"kind": f.kind, "unit": f.unit, "meaning": f.meaning}) for f in FIELDS]
    return pa.schema(columns, metadata={"schema_version": str(SCHEMA_VERSION)})
