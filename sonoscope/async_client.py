"""The Python client for asyncio: the same calls as `sonoscope.client.Client`, awaited."""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import httpx

from serve.schema import AssetAnswer, GenerateAnswer, JobAnswer, RecognizeAnswer
from sonoscope import calls
from sonoscope.calls import Call, Media, Retries, ServiceError, authorization
from sonoscope.client import BLOCK, LOOK_S, OnChange

T = TypeVar("T")


class AsyncClient:
    """As `Client`: the same arguments, methods and errors. Cancelling the task of `generate` cancels the job."""

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        *,
        timeout_s: float = 30.0,
        headers: Mapping[str, str] | None = None,
        api_key: str | None = None,
        retries: int = 3,
    ):
        self._http = httpx.AsyncClient(base_url=url, headers=authorization(api_key) | dict(headers or {}))
        self._retries = Retries(retries)
        self._connect_s = timeout_s
        self.url = url

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends the connections."""
        await self._http.aclose()

    async def generate(
        self,
        portrait: Media,
        audio: Media,
        *,
        headers: Mapping[str, str] | None = None,
        on_change: OnChange | None = None,
        **parameters: Any,
    ) -> GenerateAnswer:
        """Makes a video and waits for it. Raises ServiceError where the job fails."""
        job = await self.submit(portrait, audio, headers=headers, **parameters)
        try:
            result = (await self.wait(job.job_id, on_change=on_change)).result
        except asyncio.CancelledError:
            await asyncio.shield(self.cancel(job.job_id))
            raise
        assert result is not None
        return result

    async def submit(
        self, portrait: Media, audio: Media, *, headers: Mapping[str, str] | None = None, **parameters: Any
    ) -> JobAnswer:
        """Hands a job in and returns at once."""
        return await self._do(calls.submit(portrait, audio, parameters, headers))

    async def order(self, portrait: str, audio: str, *, headers: Mapping[str, str] | None = None, **parameters: Any) -> JobAnswer:
        """Hands a job in whose inputs are asset ids, and returns at once."""
        return await self._do(calls.order(portrait, audio, parameters, headers))

    async def wait(self, job_id: str, *, timeout_s: float | None = None, on_change: OnChange | None = None) -> JobAnswer:
        """The job once it has succeeded. Raises ServiceError or TimeoutError, as `Client.wait`."""
        async for job in self._watched(job_id, timeout_s):
            if on_change is not None:
                on_change(job)
        return calls.ended(job)  # pyright: ignore[reportPossiblyUnboundVariable]  (_watched yields the end, or raises)

    def watch(self, job_id: str) -> AsyncIterator[JobAnswer]:
        """The job whenever it changes; the last one is final."""
        return self._watched(job_id, None)

    async def job(self, id: str) -> JobAnswer:
        """A job by job id or request id."""
        return await self._do(calls.job(id))

    async def jobs(self, *, limit: int = 100) -> list[JobAnswer]:
        """The newest jobs, newest first."""
        return await self._do(calls.jobs(limit))

    async def cancel(self, job_id: str) -> JobAnswer:
        """Asks for a job to be stopped at its next step."""
        return await self._do(calls.cancel(job_id))

    async def retry(self, job_id: str) -> JobAnswer:
        """Makes a failed or cancelled job once more; returns the new job."""
        return await self._do(calls.retry(job_id))

    async def upload(self, media: Media) -> AssetAnswer:
        """Stores a file, to be used by its id."""
        return await self._do(calls.upload(media))

    async def score(self, request_id: str, user_score: int, user_comment: str | None = None) -> None:
        """Leaves a person's judgement (-1, 0, 1) of a request that has ended."""
        await self._do(calls.score(request_id, user_score, user_comment))

    async def recognize(self, pictures: Sequence[Media], **labels: Any) -> RecognizeAnswer:
        """Says what is on each picture, as `Client.recognize`."""
        return await self._do(calls.recognize(pictures, labels))

    async def download(self, request_id: str, path: Path) -> int:
        """Fetches a finished video; returns its size in bytes. The file appears whole or not at all."""
        part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
        call = calls.video(request_id)
        try:
            for tried in itertools.count():
                try:
                    with call.sending(self._connect_s) as sent, part.open("wb") as file:
                        async with self._http.stream(**sent) as answer:
                            if answer.is_error:
                                await answer.aread()
                            calls.check(answer)
                            size = sum([file.write(block) async for block in answer.aiter_bytes(BLOCK)])
                    part.replace(path)
                    return size
                except (httpx.TransportError, ServiceError) as error:
                    await asyncio.sleep(self._retries.pause(call, error, tried, self.url))
        finally:
            part.unlink(missing_ok=True)
        raise AssertionError("counts for ever")

    @staticmethod
    async def query(
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

        return await asyncio.to_thread(find_requests, expression, since=since, until=until, limit=limit, data_dir=data_dir)

    async def _do(self, call: Call[T]) -> T:
        for tried in itertools.count():
            try:
                with call.sending(self._connect_s) as sent:
                    return call.answer(await self._http.request(**sent))
            except (httpx.TransportError, ServiceError) as error:
                await asyncio.sleep(self._retries.pause(call, error, tried, self.url))
        raise AssertionError("counts for ever")

    async def _watched(self, job_id: str, timeout_s: float | None) -> AsyncIterator[JobAnswer]:
        course = calls.Course(job_id, timeout_s, LOOK_S)
        while True:
            call = course.call()
            try:
                with call.sending(self._connect_s) as sent:
                    async with self._http.stream(**sent) as answer:
                        if answer.is_error:
                            await answer.aread()
                        calls.check(answer)
                        async for line in answer.aiter_lines():
                            if (job := course.seen(line)) is not None:
                                yield job
                                if job.state in calls.FINAL:
                                    return
                course.ended_early()
            except httpx.ReadTimeout:
                continue
            except (httpx.TransportError, ServiceError) as error:
                await asyncio.sleep(self._retries.pause(call, error, course.failed(), self.url))
