"""The Python client: what the command line itself uses. `Client` blocks, `AsyncClient` (sonoscope/async_client.py) does not."""

from __future__ import annotations

import itertools
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import httpx

from serve.schema import AssetAnswer, GenerateAnswer, JobAnswer, RecognizeAnswer
from sonoscope import calls
from sonoscope.calls import Blob, Call, Media, Retries, ServiceError, Unreachable, authorization

__all__ = ["Blob", "Client", "Media", "ServiceError", "Unreachable", "authorization"]
T = TypeVar("T")
BLOCK = 1 << 20
LOOK_S = 10.0
"""A stream that is silent for so long is opened anew: the service sends nothing while nothing changes, and a peer may be gone."""
OnChange = Callable[[JobAnswer], None]


class Client:
    """A typed client of one service. Raises ServiceError (a RequestError) for what it refuses, Unreachable where none answers.

    `api_key`: for a service that asks for one; by default that of $SONOSCOPE_API_KEY. `retries`: how often a call is sent again
    after an error that may pass; what would be done twice by that is not. `timeout_s` bounds connecting only.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        *,
        timeout_s: float = 30.0,
        headers: Mapping[str, str] | None = None,
        api_key: str | None = None,
        retries: int = 3,
    ):
        self._http = httpx.Client(base_url=url, headers=authorization(api_key) | dict(headers or {}))
        self._retries = Retries(retries)
        self._connect_s = timeout_s
        self.url = url

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connections."""
        self._http.close()

    def generate(
        self,
        portrait: Media,
        audio: Media,
        *,
        headers: Mapping[str, str] | None = None,
        on_change: OnChange | None = None,
        **parameters: Any,
    ) -> GenerateAnswer:
        """Makes a video and waits for it; Ctrl-C cancels the job. Raises ServiceError where the job fails."""
        job = self.submit(portrait, audio, headers=headers, **parameters)
        try:
            result = self.wait(job.job_id, on_change=on_change).result
        except KeyboardInterrupt:
            self.cancel(job.job_id)
            raise
        assert result is not None
        return result

    def submit(self, portrait: Media, audio: Media, *, headers: Mapping[str, str] | None = None, **parameters: Any) -> JobAnswer:
        """Hands a job in and returns at once. An Idempotency-Key is made where `headers` has none."""
        return self._do(calls.submit(portrait, audio, parameters, headers))

    def order(self, portrait: str, audio: str, *, headers: Mapping[str, str] | None = None, **parameters: Any) -> JobAnswer:
        """Hands a job in whose inputs are asset ids, and returns at once."""
        return self._do(calls.order(portrait, audio, parameters, headers))

    def wait(self, job_id: str, *, timeout_s: float | None = None, on_change: OnChange | None = None) -> JobAnswer:
        """The job once it has succeeded; `on_change` gets it whenever it changes.

        Raises ServiceError where it failed or was cancelled, TimeoutError after `timeout_s` (up to 10 s late; the job goes on).
        """
        for job in self._watched(job_id, timeout_s):
            if on_change is not None:
                on_change(job)
        return calls.ended(job)  # pyright: ignore[reportPossiblyUnboundVariable]  (_watched yields the end, or raises)

    def watch(self, job_id: str) -> Iterator[JobAnswer]:
        """The job whenever it changes; the last one is final."""
        return self._watched(job_id, None)

    def job(self, id: str) -> JobAnswer:
        """A job by job id or request id."""
        return self._do(calls.job(id))

    def jobs(self, *, limit: int = 100) -> list[JobAnswer]:
        """The newest jobs, newest first."""
        return self._do(calls.jobs(limit))

    def cancel(self, job_id: str) -> JobAnswer:
        """Asks for a job to be stopped at its next step."""
        return self._do(calls.cancel(job_id))

    def retry(self, job_id: str) -> JobAnswer:
        """Makes a failed or cancelled job once more; returns the new job."""
        return self._do(calls.retry(job_id))

    def upload(self, media: Media) -> AssetAnswer:
        """Stores a file, to be used by its id."""
        return self._do(calls.upload(media))

    def asset(self, asset_id: str) -> AssetAnswer | None:
        """An upload by its id, None where the service has it no more."""
        try:
            return self._do(calls.asset(asset_id))
        except ServiceError as error:
            if error.type != "asset_not_found":
                raise
            return None

    def score(self, request_id: str, user_score: int, user_comment: str | None = None) -> None:
        """Leaves a person's judgement (-1, 0, 1) of a request that has ended, by request or job id; the last one counts."""
        self._do(calls.score(request_id, user_score, user_comment))

    def recognize(self, pictures: Sequence[Media], **labels: Any) -> RecognizeAnswer:
        """Says what is on each picture. One alone that fails raises ServiceError; of several, each has its own error in the answer.

        `labels`: source_prefix and others of `telemetry.fields.LABELS`. Raises OSError where a file cannot be read.
        """
        return self._do(calls.recognize(pictures, labels))

    def download(self, request_id: str, path: Path) -> int:
        """Fetches a finished video; returns its size in bytes. The file appears whole or not at all."""
        part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
        call = calls.video(request_id)
        try:
            for tried in itertools.count():
                try:
                    with call.sending(self._connect_s) as sent, self._http.stream(**sent) as answer, part.open("wb") as file:
                        if answer.is_error:
                            answer.read()
                        calls.check(answer)
                        size = sum(file.write(block) for block in answer.iter_bytes(BLOCK))
                    part.replace(path)
                    return size
                except (httpx.TransportError, ServiceError) as error:
                    time.sleep(self._retries.pause(call, error, tried, self.url))
        finally:
            part.unlink(missing_ok=True)
        raise AssertionError("counts for ever")

    @staticmethod
    def query(
        expression: str,
        *,
        since: str | None = None,
        until: str | None = None,
        limit: int | None = None,
        data_dir: Path | None = None,
    ) -> list[dict[str, Any]]:
        """The requests that pass a filter, newest first, from the stores that this machine's settings name (not by HTTP).

        `since`, `until`: "1h" or a time. Raises analytics.filters.FilterError, OSError or ValueError.
        """
        from sonoscope.asking import find_requests  # DuckDB and pandas: for those who ask only

        return find_requests(expression, since=since, until=until, limit=limit, data_dir=data_dir)

    def ready(self) -> bool:
        """True when every stage answers."""
        try:
            return self._http.get("/readyz", timeout=self._connect_s).status_code == 200
        except httpx.TransportError:
            return False

    def _do(self, call: Call[T]) -> T:
        for tried in itertools.count():
            try:
                with call.sending(self._connect_s) as sent:
                    return call.answer(self._http.request(**sent))
            except (httpx.TransportError, ServiceError) as error:
                time.sleep(self._retries.pause(call, error, tried, self.url))
        raise AssertionError("counts for ever")

    def _watched(self, job_id: str, timeout_s: float | None) -> Iterator[JobAnswer]:
        course = calls.Course(job_id, timeout_s, LOOK_S)
        while True:
            call = course.call()
            try:
                with call.sending(self._connect_s) as sent, self._http.stream(**sent) as answer:
                    if answer.is_error:
                        answer.read()
                    calls.check(answer)
                    for line in answer.iter_lines():
                        if (job := course.seen(line)) is not None:
                            yield job
                            if job.state in calls.FINAL:
                                return
                course.ended_early()
            except httpx.ReadTimeout:
                continue
            except (httpx.TransportError, ServiceError) as error:
                time.sleep(self._retries.pause(call, error, course.failed(), self.url))
