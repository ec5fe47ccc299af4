"""Requests and answers. Validation, defaults, advice and OpenAPI text are derived from `telemetry.fields`."""

from __future__ import annotations

import difflib
import json
import secrets
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from deployments.models.ranges import ranges_of, refuse_outside
from telemetry import fields
from telemetry.errors import ERROR_TYPES, RequestError

_ADAPTERS: dict[str, TypeAdapter[Any]] = {
    "int": TypeAdapter(int), "float": TypeAdapter(float), "bool": TypeAdapter(bool), "str": TypeAdapter(str),
}  # fmt: skip
_TYPE_WORDS = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "text"}


LABEL_CHARACTERS = 128
"""Longest text of a label: a name, not a document."""


def parse_order(raw: Mapping[str, Any]) -> dict[str, fields.Value]:
    """What a request says of itself: the labels that it gives, and every parameter as used.

    `raw` holds form strings or JSON values. Raises RequestError(invalid_parameter) that names field, value and range.
    """
    labels = parse_labels(raw)
    return labels | parse_parameters({name: value for name, value in raw.items() if name not in fields.LABELS})


def parse_labels(raw: Mapping[str, Any]) -> dict[str, fields.Value]:
    """The labels that a request gives of itself (`telemetry.fields.LABELS`). Raises RequestError(invalid_parameter)."""
    labels: dict[str, fields.Value] = {}
    for name in raw.keys() & set(fields.LABELS):
        value = _parse(fields.BY_NAME[name], raw[name])
        if isinstance(value, str) and (len(value) > LABEL_CHARACTERS or not value.isprintable()):
            shown = f"{name} must be at most {LABEL_CHARACTERS} printable characters."
            raise RequestError("invalid_parameter", shown, field=name)
        labels[name] = value
    return labels


def parse_parameters(raw: Mapping[str, Any]) -> dict[str, fields.Value]:
    """Parameters as used: aliases resolved, types and ranges checked, defaults filled, the seed drawn where it was left open.

    `raw` holds form strings or JSON values. Raises RequestError(invalid_parameter) that names field, value and range.
    """
    aliases = {alias: field.name for field in fields.PARAMETERS for alias in field.aliases}
    given: dict[str, Any] = {}
    for key, value in raw.items():
        name = aliases.get(key, key)
        if name in given:
            raise RequestError("invalid_parameter", f"{name} was given twice.", field=name)
        given[name] = value
    known = {field.name: field for field in fields.PARAMETERS}
    for name in given.keys() - known.keys():
        near = difflib.get_close_matches(name, [*known, *aliases], 1)
        hint = f"Did you mean {near[0]}?" if near else f"The parameters are {', '.join(known)}."
        raise RequestError("invalid_parameter", f"{name} is not a parameter.", field=name, hint=hint)
    values = {name: _parse(field, given[name]) if name in given else field.default for name, field in known.items()}
    model = str(values["model_name"])
    refuse_outside(model, ranges_of(model), values)
    if values.get("seed") is None:
        values["seed"] = secrets.randbelow(2**31)
    return values


def _parse(field: fields.Field, value: Any) -> fields.Value:
    if value is None or value == "":
        return field.default
    refused = RequestError(
        "invalid_parameter",
        f"{field.name} must be {_expected(field)}; got {_shown(value)}.",
        field=field.name,
        hint=field.help[0].upper() + field.help[1:] + ".",
    )
    # pydantic takes True for 1 and 1 for True; a client that sends one for the other has made a mistake worth telling.
    if isinstance(value, bool) != (field.dtype == "bool") and not isinstance(value, str):
        raise refused
    try:
        parsed = _ADAPTERS[field.dtype].validate_python(value)
    except ValidationError:
        raise refused from None
    if field.choices and parsed not in field.choices:
        raise refused
    if field.minimum is not None and field.maximum is not None and not field.minimum <= parsed <= field.maximum:
        raise refused
    if field.multiple_of and parsed % field.multiple_of:
        raise refused
    return parsed


def _expected(field: fields.Field) -> str:
    words = _TYPE_WORDS[field.dtype]
    return words if field.allowed in (words, "any") else f"{words}, {field.allowed}"


def _shown(value: Any) -> str:
    """The value as it is shown in an error: JSON, at most 60 characters."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:59] + "…"


def parameters_schema() -> dict[str, Any]:
    """JSON Schema properties of the parameters, for OpenAPI."""
    types = {"int": "integer", "float": "number", "bool": "boolean", "str": "string"}
    properties: dict[str, Any] = {}
    for field in fields.PARAMETERS:
        prop: dict[str, Any] = {"type": types[field.dtype], "description": field.help}
        if field.default is not None:
            prop["default"] = field.default
        if field.minimum is not None:
            prop |= {"minimum": field.minimum, "maximum": field.maximum}
        if field.multiple_of:
            prop["multipleOf"] = field.multiple_of
        if field.choices:
            prop["enum"] = list(field.choices)
        for name in (field.name, *field.aliases):
            properties[name] = prop if name == field.name else {**prop, "description": f"alias of {field.name}"}
    for field in (fields.BY_NAME[name] for name in fields.LABELS):
        properties[field.name] = {"type": types[field.dtype], "description": field.help}
    return properties


def generate_body() -> dict[str, Any]:
    """OpenAPI request body of POST /generate: the multipart form, and JSON with asset ids."""
    binary = {"type": "string", "format": "binary"}
    asset = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
    form = {"portrait": {**binary, "description": "the picture"}, "audio": {**binary, "description": "the speech"}}
    prompt = {
        "portrait_image": {**asset, "description": "asset id of the picture"},
        "audio_clip": {**asset, "description": "asset id of the speech"},
    }
    parameters = parameters_schema()
    return {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {"type": "object", "required": ["portrait", "audio"], "properties": form | parameters}
            },
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["prompt"],
                    "properties": {
                        "prompt": {
                            "type": "object",
                            "required": ["portrait_image", "audio_clip"],
                            "properties": prompt | parameters,
                        }
                    },
                }
            },
        },
    }


def recognize_body() -> dict[str, Any]:
    """OpenAPI request body of POST /recognize: files, or asset ids in a form or in JSON."""
    types = {"bool": "boolean", "str": "string"}
    labels = {name: fields.BY_NAME[name] for name in fields.LABELS}
    stated = {name: {"type": types[field.dtype], "description": field.help} for name, field in labels.items()}
    picture = {"type": "string", "format": "binary", "description": "a picture, or an asset id; repeat it for several"}
    ids = {"type": "array", "items": {"type": "string", "pattern": "^[0-9a-f]{64}$"}, "description": "asset ids"}
    schemas = {"multipart/form-data": picture, "application/json": ids}
    content = {
        kind: {"schema": {"type": "object", "required": ["image"], "properties": {"image": image} | stated}}
        for kind, image in schemas.items()
    }
    return {"required": True, "content": content}


class ErrorBody(BaseModel):
    """What went wrong, and the way out."""

    model_config = ConfigDict(extra="forbid")

    type: str = Field(description=f"stable name: {', '.join(ERROR_TYPES)}")
    message: str
    field: str | None = Field(default=None, description="the input at fault")
    hint: str | None = Field(default=None, description="the way out")
    trace_id: str | None = None


class ErrorAnswer(BaseModel):
    """Every answer that is not 2xx."""

    error: ErrorBody


class GenerateAnswer(BaseModel):
    """A finished generation."""

    request_id: str
    job_id: str
    trace_id: str
    status: str
    video_url: str
    parameters: dict[str, Any] = Field(description="the parameters as used")
    outcomes: dict[str, Any] = Field(description="what was measured; a name that is absent was not measured")
    advice: list[str] = Field(description="codes of what was legal but ill-advised")
    stages: dict[str, float] = Field(description="milliseconds of each stage")


class JobAnswer(BaseModel):
    """A job as the table has it."""

    job_id: str
    request_id: str
    trace_id: str
    state: str = Field(description="queued, running, succeeded, failed or cancelled")
    stage: str | None = Field(default=None, description="the stage that runs, or that ran last")
    step: int | None = Field(default=None, description="denoising step, from 1")
    steps: int | None = Field(default=None, description="denoising steps in all")
    frames: int | None = Field(default=None, description="frames encoded so far")
    frames_total: int | None = None
    attempt: int = 1
    cancel_requested: bool = False
    queue_position: int | None = Field(default=None, description="jobs before this one, while queued")
    expected_s: float | None = Field(default=None, description="seconds until it ends, from what like jobs took; empty = unknown")
    accepted_at: str
    started_at: str | None = None
    ended_at: str | None = None
    removed_at: str | None = Field(default=None, description="when its result was removed")
    result: GenerateAnswer | None = None
    error: ErrorBody | None = None


class Words(BaseModel):
    """A label in two languages."""

    en: str
    zh: str


class ScoredWords(Words):
    """A label and how sure its network is, 0 to 1."""

    score: float


class PictureResult(BaseModel):
    """What came of one picture: a label, or none where nobody is sure, or an error."""

    request_id: str
    trace_id: str
    status: str = Field(description="ok or error")
    name: str | None = Field(default=None, description="its file's name; characters that cannot be seen stand as code points")
    name_differences: list[str] = Field(default_factory=list, description="what was changed to make the name what it looks like")
    image_hash: str | None = Field(default=None, description="asset id")
    label: Words | None = Field(default=None, description="what the picture shows; null below the confidence floor")
    score: float | None = Field(default=None, description="how sure of the label, 0 to 1; null without a label")
    low_confidence: bool | None = Field(default=None, description="no label was sure enough; top3 holds guesses")
    top3: list[ScoredWords] = Field(default_factory=list)
    faces: int | None = None
    crop_dropped_share: float | None = Field(default=None, description="share of the picture that was not looked at, 0 to 1")
    picture: dict[str, Any] | None = Field(default=None, description="what the file was: size, format, mode, orientation, alpha")
    advice: list[str] = Field(default_factory=list, description="low_confidence, crop_dropped, path_invisible_characters")
    error: ErrorBody | None = None


class RecognizeAnswer(BaseModel):
    """The pictures of a request in the order in which they were sent."""

    request_id: str
    failed: int = Field(description="how many of the results are errors")
    results: list[PictureResult]


class AssetAnswer(BaseModel):
    """An upload, to be used by id."""

    asset_id: str = Field(description="SHA-256 of the bytes")
    bytes: int


class VideoLink(BaseModel):
    """A path below the service's address that opens a video without a key, for a time."""

    url: str


class Score(BaseModel):
    """A person's judgement of a video; the last one of a request counts."""

    model_config = ConfigDict(extra="forbid")

    user_score: Literal[-1, 0, 1] = Field(description="bad, undecided, good")
    user_comment: str | None = Field(default=None, max_length=2000, description="why, in words")


def generate_answer(row: Mapping[str, Any], video_url: str) -> GenerateAnswer:
    """The answer of a request that ended well, from its flat row."""
    stage_names = {f"{stage}{suffix}" for stage in fields.STAGES for suffix in ("_ms", "_busy_ms")}
    outcomes = [name for name in fields.names("outcome") if name not in stage_names and name != "advice"]
    return GenerateAnswer(
        request_id=row["request_id"],
        job_id=row["job_id"],
        trace_id=row["trace_id"],
        status=row["status"],
        video_url=video_url,
        parameters={name: row.get(name) for name in fields.names("parameter")},
        outcomes={name: row[name] for name in outcomes if name in row},
        advice=list(row.get("advice", [])),
        stages={name: row[name] for name in fields.BY_NAME if name in stage_names and name in row},
    )
