"""What the clients send and how they read it: one core without input or output of its own, shared by `Client` and `AsyncClient`."""

from __future__ import annotations

import contextlib
import json
import os
import random
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import httpx
from opentelemetry import propagate, trace

from serve.schema import AssetAnswer, JobAnswer, RecognizeAnswer
from telemetry.errors import ERROR_TYPES, RequestError

T = TypeVar("T")
KEY = "Idempotency-Key"
FINAL = ("succeeded", "failed", "cancelled")
NOT_BEGUN = ("overloaded", "rate_limited")
"""Refusals at the door: nothing was done, so even what must not be done twice may be sent again."""
GATEWAY = (429, 502, 503, 504)
"""Statuses of a gateway that may pass, where the answer is not in the service's own words."""


class Blob(NamedTuple):
    """A file that is in memory: its name (only shown and searched by) and its bytes."""

    name: str
    data: bytes


Media = Path | str | Blob
"""A file by its path, or its bytes."""


class Unreachable(Exception):
    """No service answers at the address."""


class ServiceError(RequestError):
    """What the service refused, or how a job failed. `request_id` and `trace_id` find its record.

    `type`, `field`, `hint` and `retriable` are the service's own; a type that this version does not know reads as `internal`
    (5xx) or `invalid_parameter` (4xx), with the unknown one in the message.
    """

    def __init__(
        self,
        type: str,
        message: str,
        *,
        field: str | None = None,
        hint: str | None = None,
        status: int | None = None,
        request_id: str | None = None,
        trace_id: str | None = None,
        retry_after_s: int | None = None,
    ):
        if (known := type in ERROR_TYPES) is False:
            message = f"{type}: {message}"
            type = "internal" if status is None or status >= 500 else "invalid_parameter"
        super().__init__(type, message, field=field, hint=hint)
        self.status, self.request_id, self.trace_id, self.retry_after_s = status, request_id, trace_id, retry_after_s
        self._retriable = ERROR_TYPES[type].retriable if known else status in GATEWAY

    @property
    def http_status(self) -> int:
        """Status of the answer; of a job's error, the one of its type."""
        return self.status or ERROR_TYPES[self.type].http_status

    @property
    def retriable(self) -> bool:
        """True where the same request may succeed later."""
        return self._retriable

    def __str__(self) -> str:
        of = f" (request {self.request_id})" if self.request_id else ""
        return f"{self.type}: {self.message} {self.hint}{of}"

    def __reduce__(self) -> tuple[Any, ...]:
        names = ("field", "hint", "status", "request_id", "trace_id", "retry_after_s")
        return _rebuilt, (self.type, self.message, {name: getattr(self, name) for name in names}, self._retriable)


def _rebuilt(type: str, message: str, named: dict[str, Any], retriable: bool) -> ServiceError:
    error = ServiceError(type, message, **named)
    error._retriable = retriable
    return error


@dataclass(frozen=True)
class Call(Generic[T]):
    """One request and how its answer is read. `repeatable`: sent twice it is done once."""

    method: str
    path: str
    read: Callable[[Any], T]
    repeatable: bool = True
    headers: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, Any] | None = None
    body: Any = None
    form: Mapping[str, str] | None = None
    files: Sequence[tuple[str, Media]] = ()
    read_timeout_s: float | None = None

    @contextlib.contextmanager
    def sending(self, connect_s: float) -> Iterator[dict[str, Any]]:
        """The arguments of httpx's `request` or `stream`, with the files open and the caller's trace context in the headers."""
        arguments: dict[str, Any] = {"method": self.method, "url": self.path, "headers": {**trace_headers(), **self.headers}}
        arguments["timeout"] = httpx.Timeout(None, connect=connect_s, read=self.read_timeout_s)
        if self.params is not None:
            arguments["params"] = dict(self.params)
        if self.body is not None:
            arguments["json"] = self.body
        with contextlib.ExitStack() as stack:
            if self.files:
                arguments["files"] = [(name, _part(stack, media)) for name, media in self.files]
                arguments["data"] = dict(self.form or {})
            yield arguments

    def answer(self, response: httpx.Response) -> T:
        """What a whole answer says. Raises ServiceError."""
        check(response)
        return self.read(response.json())


def _part(stack: contextlib.ExitStack, media: Media) -> tuple[str, Any]:
    if isinstance(media, Blob):
        return media.name, media.data
    return Path(media).name, stack.enter_context(Path(media).open("rb"))


def authorization(api_key: str | None = None) -> dict[str, str]:
    """The header that shows a key: the one given, else that of $SONOSCOPE_API_KEY; empty where there is neither."""
    key = api_key or os.environ.get("SONOSCOPE_API_KEY")
    return {"Authorization": f"Bearer {key}"} if key else {}


def trace_headers() -> dict[str, str]:
    """The caller's trace context by OpenTelemetry's propagators; empty where no span is current."""
    carrier: dict[str, str] = {}
    if trace.get_current_span().get_span_context().is_valid:
        propagate.inject(carrier)
    return carrier


@dataclass(frozen=True)
class Retries:
    """How often, and how long after, a call is sent again. `times`: at most so often after the first try."""

    times: int = 3
    first_s: float = 0.5
    longest_s: float = 60.0

    def pause(self, call: Call[Any], error: httpx.TransportError | ServiceError, tried: int, url: str) -> float:
        """Seconds until the next try after `tried` of them. Raises the error (or Unreachable) where there is none."""
        wait_s = min(self.longest_s, self.first_s * 2**tried) * random.uniform(0.5, 1.0)
        if isinstance(error, httpx.TransportError):
            # A connection that never was has done nothing; one that broke may have.
            again = call.repeatable or isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout))
            if not again or tried >= self.times:
                raise Unreachable(f"{url}: {error or type(error).__name__}") from error
            return wait_s
        again = error.retriable and (call.repeatable or error.type in NOT_BEGUN)
        asked_s = error.retry_after_s or 0
        if not again or tried >= self.times or asked_s > self.longest_s:
            raise error
        # Spread out: whoever was refused in the same second must not come back in the same second.
        return max(wait_s, asked_s * random.uniform(1.0, 1.25))


def check(response: httpx.Response) -> None:
    """Raises the ServiceError that an answer which is not 2xx holds; its body must have been read."""
    if not response.is_error:
        return
    after = response.headers.get("retry-after", "")
    about: dict[str, Any] = {"status": response.status_code, "request_id": response.headers.get("x-request-id")}
    about["retry_after_s"] = int(after) if after.isdigit() else None
    try:
        body = response.json()["error"]
        said: dict[str, Any] = {name: body.get(name) for name in ("field", "hint", "trace_id")}
        raise ServiceError(body["type"], body["message"], **said, **about)
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError):
        raise ServiceError(f"HTTP {response.status_code}", response.text[:200] or "an empty answer", **about) from None


def ended(job: JobAnswer) -> JobAnswer:
    """The job, where it succeeded. Raises its ServiceError otherwise."""
    if job.error is not None:
        about: dict[str, Any] = {"request_id": job.request_id, "trace_id": job.trace_id}
        raise ServiceError(job.error.type, job.error.message, field=job.error.field, hint=job.error.hint, **about)
    return job


class Course:
    """What is known while a job is watched: when to stop, and how often in a row the stream failed."""

    def __init__(self, job_id: str, timeout_s: float | None, look_s: float):
        self._job_id, self._timeout_s, self._look_s = job_id, timeout_s, look_s
        self._end = None if timeout_s is None else time.monotonic() + timeout_s
        self._failed = 0
        self._last: JobAnswer | None = None

    def call(self) -> Call[None]:
        """The next stream. Raises TimeoutError where the time is up."""
        left_s = self._left()
        wait_s = self._look_s if left_s is None else min(self._look_s, left_s)
        return Call("GET", f"/jobs/{self._job_id}/events", lambda _: None, read_timeout_s=wait_s)

    def seen(self, line: str) -> JobAnswer | None:
        """The job that a line holds; None for another line and for what was seen before. Raises TimeoutError."""
        if not line.startswith("data: "):
            return None
        job = JobAnswer.model_validate_json(line.removeprefix("data: "))
        self._failed = 0
        if job.state not in FINAL:
            self._left()
        new = None if job == self._last else job
        self._last = job
        return new

    def failed(self) -> int:
        """Counts a failure; how many there were in a row before."""
        self._failed += 1
        return self._failed - 1

    @staticmethod
    def ended_early() -> None:
        """Raises httpx.RemoteProtocolError: the stream is over, the job is not."""
        raise httpx.RemoteProtocolError("the service ended the stream before the job's end")

    def _left(self) -> float | None:
        if self._end is None:
            return None
        left_s = self._end - time.monotonic()
        if left_s <= 0:
            words = f"The job {self._job_id} has not ended after {self._timeout_s:g} s. It goes on: wait again, or cancel it."
            raise TimeoutError(words)
        return left_s


def submit(portrait: Media, audio: Media, parameters: Mapping[str, Any], headers: Mapping[str, str] | None) -> Call[JobAnswer]:
    """A generation whose inputs are files."""
    files = (("portrait", portrait), ("audio", audio))
    form = _form(parameters)
    return Call("POST", "/generate", JobAnswer.model_validate, headers=_asked(headers), form=form, files=files)


def order(portrait: str, audio: str, parameters: Mapping[str, Any], headers: Mapping[str, str] | None) -> Call[JobAnswer]:
    """A generation whose inputs are asset ids."""
    prompt = {"portrait_image": portrait, "audio_clip": audio, **parameters}
    return Call("POST", "/generate", JobAnswer.model_validate, headers=_asked(headers), body={"prompt": prompt})


def _asked(headers: Mapping[str, str] | None) -> dict[str, str]:
    given = dict(headers or {})
    key = {} if KEY.lower() in {name.lower() for name in given} else {KEY: secrets.token_urlsafe(24)}
    return {"Prefer": "respond-async", **key, **given}


def job(id: str) -> Call[JobAnswer]:
    """A job by job id or request id."""
    return Call("GET", f"/jobs/{id}", JobAnswer.model_validate)


def jobs(limit: int) -> Call[list[JobAnswer]]:
    """The newest jobs."""
    return Call("GET", "/jobs", lambda rows: [JobAnswer.model_validate(one) for one in rows], params={"limit": limit})


def cancel(job_id: str) -> Call[JobAnswer]:
    """The wish that a job stops."""
    return Call("DELETE", f"/jobs/{job_id}", JobAnswer.model_validate)


def retry(job_id: str) -> Call[JobAnswer]:
    """A failed job once more: each such request makes a job, so one whose answer was lost is not sent again."""
    return Call("POST", f"/jobs/{job_id}/retry", JobAnswer.model_validate, repeatable=False)


def upload(media: Media) -> Call[AssetAnswer]:
    """A file, known by its contents from then on."""
    return Call("POST", "/assets", AssetAnswer.model_validate, files=[("file", media)])


def asset(asset_id: str) -> Call[AssetAnswer]:
    """An upload by its id."""
    return Call("GET", f"/assets/{asset_id}", AssetAnswer.model_validate)


def score(request_id: str, user_score: int, user_comment: str | None) -> Call[None]:
    """A judgement; the last one counts, so twice the same is once."""
    body = {"user_score": user_score, "user_comment": user_comment}
    return Call("POST", f"/requests/{request_id}/score", lambda _: None, body=body)


def recognize(pictures: Sequence[Media], labels: Mapping[str, Any]) -> Call[RecognizeAnswer]:
    """Pictures to be named: each request leaves records, so one whose answer was lost is not sent again."""
    files = [("image", media) for media in pictures]
    return Call("POST", "/recognize", RecognizeAnswer.model_validate, repeatable=False, form=_form(labels), files=files)


def video(request_id: str) -> Call[None]:
    """The bytes of a finished video."""
    return Call("GET", f"/videos/{request_id}.mp4", lambda _: None)


def _form(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(v).lower() if isinstance(v, bool) else str(v) for name, v in values.items() if v is not None}
