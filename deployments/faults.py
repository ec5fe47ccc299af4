"""Known defects on purpose, for drills and tests: off unless `faults_file` names a plan.

The pipeline itself cuts no tail and relabels no frames; with a plan it does, for the requests that the plan chooses. Each strike is
logged as a warning and leaves the event `fault_injected`, which only the scoring of a drill reads: no analysis looks at it.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import socket
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from telemetry import fields
from telemetry.context import RequestContext
from telemetry.errors import ERROR_TYPES, RequestError
from telemetry.stages import Stage
from telemetry.tracing import Telemetry
from telemetry.yaml_text import read_yaml

_log = logging.getLogger("ray.serve")
_KNOWS_PARAMETERS = ("run_inference", "encode_video")
"""Stages that are told the parameters: only there can a fault be chosen by one."""


class FaultPlanError(ValueError):
    """The plan cannot be read; the message says where and why."""


class Span(BaseModel):
    """A closed range; an open end is left out."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)

    min: float = -float("inf")
    max: float = float("inf")


class When(BaseModel):
    """Which requests are struck: every condition that is given must hold."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)

    share: float = Field(default=1.0, ge=0, le=1)
    """Of the requests; drawn from the request's id, so that a request is struck in the same way whenever it is asked."""
    replica: str | None = None
    """The replica of inference or of the encoder, whole or the end of its id."""
    host: str | None = None
    department: str | None = None
    source_prefix: str | None = None
    parameters: dict[str, float | str | bool | Span] = Field(default_factory=dict)
    after: AwareDatetime | None = None
    before: AwareDatetime | None = None

    @model_validator(mode="after")
    def _known_parameters(self) -> When:
        known = set(fields.names("parameter"))
        if unknown := sorted(self.parameters.keys() - known):
            raise ValueError(f"{unknown[0]} is no parameter; the parameters are {', '.join(sorted(known))}")
        return self

    def holds(self, draw: float, known: Mapping[str, Any], now: datetime) -> bool:
        """True where a request is struck: `draw` is its place in 0..1, `known` what is known of it in this stage."""
        if draw >= self.share or (self.after and now < self.after) or (self.before and now >= self.before):
            return False
        for name in ("host", "department", "source_prefix"):
            if (wanted := getattr(self, name)) is not None and known.get(name) != wanted:
                return False
        if self.replica is not None and not str(known.get("replica", "")).endswith(self.replica):
            return False
        return all(_fits(known.get(name), wanted) for name, wanted in self.parameters.items())


def _fits(value: Any, wanted: float | str | bool | Span) -> bool:
    if isinstance(wanted, Span):
        return value is not None and wanted.min <= value <= wanted.max
    return value == wanted


class _Fault(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)

    when: When = When()


class FramesRelabelled(_Fault):
    """Frames are drawn at the asked rate and written at another: the picture runs away from the sound."""

    fault: Literal["frames_relabelled"]
    stage: Literal["encode_video"] = "encode_video"
    encoded_fps: float = Field(ge=1, le=120)


class AudioLate(_Fault):
    """The sound starts late in the container."""

    fault: Literal["audio_late"]
    stage: Literal["encode_video"] = "encode_video"
    late_ms: float = Field(gt=0, le=5_000)


class TailCut(_Fault):
    """The last frames are missing; the sound is whole."""

    fault: Literal["tail_cut"]
    stage: Literal["encode_video"] = "encode_video"
    seconds: float = Field(gt=0, le=600)


class TailFrozen(_Fault):
    """The last frames are all the same while somebody speaks."""

    fault: Literal["tail_frozen"]
    stage: Literal["encode_video"] = "encode_video"
    seconds: float = Field(gt=0, le=600)


class EncoderTimeout(_Fault):
    """The encoder is given so little time that it does not make it: 1 ms is less than ffmpeg takes to start."""

    fault: Literal["encoder_timeout"]
    stage: Literal["encode_video"] = "encode_video"
    timeout_s: float = Field(default=0.001, gt=0)


class MemoryLimit(_Fault):
    """Inference finds no memory for pictures of more than so many pixels."""

    fault: Literal["memory_limit"]
    stage: Literal["run_inference"] = "run_inference"
    max_pixels: int = Field(ge=1)


class SlowStage(_Fault):
    """A stage takes so many seconds longer."""

    fault: Literal["slow_stage"]
    stage: Literal["load_audio", "preprocess_image", "run_inference", "encode_video", "measure_sync"]
    seconds: float = Field(gt=0, le=3_600)


class FailingStage(_Fault):
    """A stage fails with an error of the table."""

    fault: Literal["failing_stage"]
    stage: Literal["load_audio", "preprocess_image", "run_inference", "encode_video", "measure_sync"]
    error_type: str

    @model_validator(mode="after")
    def _known_error(self) -> FailingStage:
        if self.error_type not in ERROR_TYPES:
            raise ValueError(f"error_type {self.error_type} is not one of {', '.join(sorted(ERROR_TYPES))}")
        return self


class InvisibleCharacters(_Fault):
    """The uploads' names get a zero-width space, as copied names have it."""

    fault: Literal["invisible_characters"]
    stage: Literal["admission"] = "admission"


AnyFault = Annotated[
    FramesRelabelled | AudioLate | TailCut | TailFrozen | EncoderTimeout | MemoryLimit | SlowStage | FailingStage
    | InvisibleCharacters,
    Field(discriminator="fault"),
]  # fmt: skip
_PLAN: TypeAdapter[list[AnyFault]] = TypeAdapter(list[AnyFault])


def read_plan(path: Path) -> tuple[AnyFault, ...]:
    """The faults of a plan: YAML, a list of entries `fault`, its values, and `when`. Raises FaultPlanError."""
    try:
        plan = _PLAN.validate_python(read_yaml(path.read_text(encoding="utf-8")) or [])
    except OSError as error:
        raise FaultPlanError(f"the fault plan {path.name} cannot be read: {error.strerror}") from None
    except (ValidationError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise FaultPlanError(f"the fault plan {path.name} is wrong: {error}") from None
    for fault in plan:
        if fault.when.parameters and fault.stage not in _KNOWS_PARAMETERS:
            stages = " and ".join(_KNOWS_PARAMETERS)
            raise FaultPlanError(f"{fault.fault} in {fault.stage} cannot be chosen by a parameter: only {stages} are told them")
        if fault.when.replica is not None and fault.stage not in _KNOWS_PARAMETERS:
            raise FaultPlanError(f"{fault.fault} in {fault.stage} cannot be chosen by replica")
    return tuple(plan)


class Faults:
    """The plan as one process follows it. A changed file counts from the next request on; a broken one changes nothing."""

    def __init__(self, path: Path | None = None) -> None:
        """Raises FaultPlanError for a plan that is wrong from the start."""
        self._path = path
        self._read: tuple[int, int] | None = None
        self._plan: tuple[AnyFault, ...] = ()
        self._lock = threading.Lock()
        if path is not None:
            self._plan, self._read = read_plan(path), self._state(path)
            _log.warning("FAULTS ARE INJECTED ON PURPOSE, by the plan %s: %d of them", path.name, len(self._plan))

    @staticmethod
    def _state(path: Path) -> tuple[int, int] | None:
        try:
            found = path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size

    def _current(self) -> tuple[AnyFault, ...]:
        if self._path is None:
            return ()
        with self._lock:
            state = self._state(self._path)
            if state != self._read:
                self._read = state
                try:
                    self._plan = () if state is None else read_plan(self._path)
                    _log.warning("the fault plan changed: %d faults are injected now", len(self._plan))
                except FaultPlanError as error:
                    _log.error("%s; the last plan that was right goes on", error)
            return self._plan

    def chosen(self, stage: str, context: RequestContext, known: Mapping[str, Any] | None = None) -> tuple[AnyFault, ...]:
        """The faults that strike this request in this stage. `known`: parameters and replica, where the stage knows them."""
        if self._path is None:
            return ()
        facts = {"host": socket.gethostname(), **context.identity, **(known or {})}
        now = datetime.now(UTC)
        return tuple(
            fault
            for number, fault in enumerate(self._current())
            if fault.stage == stage and fault.when.holds(_draw(context.request_id, number), facts, now)
        )

    async def strike(self, telemetry: Telemetry, span: Stage, known: Mapping[str, Any] | None = None) -> tuple[AnyFault, ...]:
        """Makes the stage slow or lets it fail where the plan says so; returns the other faults, which the stage commits itself.

        Raises RequestError of the type that the plan names.
        """
        rest: list[AnyFault] = []
        for fault in self.chosen(span.name, span.context, known):
            note(telemetry, span.context, fault)
            match fault:
                case SlowStage(seconds=seconds):
                    await asyncio.sleep(seconds)
                case FailingStage(error_type=error_type):
                    raise RequestError(error_type, f"{span.name} failed.", stage=span.name)
                case _:
                    rest.append(fault)
        return tuple(rest)


def note(telemetry: Telemetry, context: RequestContext, fault: AnyFault) -> None:
    """Logs a strike and writes its event."""
    values = fault.model_dump(exclude={"when"})
    _log.warning("fault injected into %s: %s", context.request_id, values)
    telemetry.events.write_row("fault_injected", context, values)


def _draw(request_id: str, number: int) -> float:
    """The request's place in 0..1 for the plan's n-th entry."""
    digest = hashlib.sha256(f"{number}:{request_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
