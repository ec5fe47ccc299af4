"""The HTTP ingress: routes and admission only. What a generation does stands in `serve.runner`."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from fastapi import FastAPI
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse
from ray import serve
from ray.exceptions import ActorDiedError, ActorUnavailableError
from starlette.requests import Request
from starlette.responses import Response

from serve import admission, jobs
from serve.answers import Identified, install_errors
from serve.jobs import JobTable
from serve.pipeline import Handle
from serve.schema import AssetAnswer, ErrorAnswer, ErrorBody, GenerateAnswer, JobAnswer, Score, generate_answer, generate_body
from serve.settings import Settings
from serve.uploads import AssetStore, limited
from telemetry.errors import ERROR_TYPES, RequestError
from telemetry.redact import Redactor
from telemetry.tracing import setup

NAME = "api"
POLL_S = 0.1
"""Seconds between two looks at a job for server-sent events: a look takes 0.3 ms."""

_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorAnswer, "description": ", ".join(e.name for e in ERROR_TYPES.values() if e.http_status == status)}
    for status in sorted({e.http_status for e in ERROR_TYPES.values()})
}

app = FastAPI(
    title="Sonoscope",
    description="A portrait and a speech recording in, a talking-head video out; every request leaves one record.",
    # Our own spans are the trace; FastAPI's would put a second tree beside it.
    telemetry={"tracing": False},
    responses=_ERRORS,
)
app.add_middleware(Identified)
install_errors(app)


def video_url(request_id: str) -> str:
    """Where a result is fetched."""
    return f"/videos/{request_id}.mp4"


# Above the class: Serve pickles the application while the decorator runs, and what stands below is not there yet.
def _job_answer(row: jobs.Row, position: int | None = None) -> JobAnswer:
    succeeded = row["state"] == jobs.SUCCEEDED
    error = row["error"]
    trace_id = row["traceparent"].split("-")[1]
    columns = ("job_id", "request_id", "state", "stage", "step", "steps", "frames", "frames_total", "attempt", "cancel_requested")
    return JobAnswer(
        **{name: row[name] for name in columns},
        trace_id=trace_id,
        queue_position=position,
        accepted_at=_iso(row["accepted_ns"]) or "",
        started_at=_iso(row["started_ns"]),
        ended_at=_iso(row["ended_ns"]),
        result=generate_answer(row["result"], video_url(row["request_id"])) if succeeded else None,
        error=None if error is None else ErrorBody(**error, trace_id=trace_id),
    )


def _iso(ns: int | None) -> str | None:
    return None if ns is None else datetime.fromtimestamp(ns / 1e9, UTC).isoformat()


@serve.deployment(name=NAME)
@serve.ingress(app)
class Api:
    """Takes requests in; waits for the runner where the client waits."""

    def __init__(self, settings: Settings, runner: Handle):
        self._settings = settings
        self._runner = runner
        self._table = JobTable(settings.jobs_url)
        self._assets = AssetStore(settings.assets_dir)
        telemetry = setup("sonoscope", settings.data_dir, environment=settings.environment)
        redactor = Redactor.from_file(settings.data_dir / "redact.key")
        self._door = admission.Admission(settings, self._table, self._assets, telemetry, redactor)

    @app.post(
        "/generate",
        openapi_extra={"requestBody": generate_body()},
        responses={200: {"model": GenerateAnswer}, 202: {"model": JobAnswer}},
    )
    async def generate(self, request: Request) -> Response:
        """Makes a talking-head video. `Prefer: respond-async` answers 202 at once; `Prefer: wait=N` after N seconds at most."""
        job_id = await self._door.accept(request)
        wait_s = admission.preferred_wait_s(request)
        if wait_s == 0:
            await self._runner.notify.remote()
            return await self._accepted(job_id)
        try:
            row = await asyncio.wait_for(self._ended(job_id), wait_s)
        except TimeoutError:
            return await self._accepted(job_id)
        except asyncio.CancelledError:
            # The client is gone: nobody will take the video, so the work stops.
            await asyncio.shield(self._cancel(job_id))
            raise
        if row["state"] == jobs.SUCCEEDED:
            return JSONResponse(generate_answer(row["result"], video_url(row["request_id"])).model_dump())
        error = row["error"]
        raise RequestError(error["type"], error["message"], field=error["field"], hint=error["hint"])

    @app.post("/assets", status_code=201)
    async def upload(self, request: Request) -> AssetAnswer:
        """Stores a file, sent as `file` in a multipart form; the id is used in POST /generate."""
        form = await limited(request, self._settings.max_upload_bytes).form(max_files=1, max_fields=8)
        file = form.get("file")
        if not hasattr(file, "read"):
            raise RequestError("invalid_parameter", "file is missing.", field="file", hint="Send the file as multipart field file.")
        asset = await self._assets.save(file)  # pyright: ignore[reportArgumentType]
        await asyncio.to_thread(self._door.note_asset, asset, self._door.owner_hash(request))
        return AssetAnswer(asset_id=asset.asset_id, bytes=asset.bytes)

    @app.get("/videos/{request_id}.mp4", response_class=FileResponse)
    async def video(self, request_id: str) -> FileResponse:
        """The finished file; ranges work."""
        row = await self._job(request_id)
        path = self._settings.videos_dir / f"{row['request_id']}.mp4"
        if row["request_id"] != request_id or not path.is_file():
            raise RequestError("not_found", f"There is no video {request_id}.", field="request_id")
        return FileResponse(path, media_type="video/mp4", filename=f"{request_id}.mp4", content_disposition_type="inline")

    @app.get("/jobs")
    async def list_jobs(self, state: str | None = None, limit: int = 100) -> list[JobAnswer]:
        """The newest jobs, newest first."""
        states = [state] if state else []
        rows = await asyncio.to_thread(self._table.list, states=states, limit=max(1, min(limit, 1000)))
        return [_job_answer(row) for row in rows]

    @app.get("/jobs/{job_id}")
    async def get_job(self, job_id: str) -> JobAnswer:
        """State, stage and step of a job, by job id or request id."""
        return await self._answer(job_id)

    @app.delete("/jobs/{job_id}", status_code=202)
    async def cancel_job(self, job_id: str) -> JobAnswer:
        """Stops a job at its next step; one that has ended stays as it is."""
        row = await self._job(job_id)
        if row["state"] not in jobs.FINAL_STATES:
            await self._cancel(row["job_id"])
        return await self._answer(job_id)

    @app.get("/jobs/{job_id}/events", response_class=StreamingResponse)
    async def job_events(self, job_id: str) -> StreamingResponse:
        """Server-sent events: the job whenever it changes, until it has ended."""
        await self._job(job_id)
        return StreamingResponse(self._changes(job_id), media_type="text/event-stream", headers={"Cache-Control": "no-store"})

    @app.post("/requests/{request_id}/score", status_code=201)
    async def score(self, request_id: str, given: Score) -> Score:
        """A person's judgement of a finished request; it becomes an outcome like any other."""
        row = await self._job(request_id)
        if row["state"] not in jobs.FINAL_STATES:
            raise RequestError(
                "invalid_parameter", "The request has not ended yet.", field="request_id", hint="Score it when it has."
            )
        self._door.log_score(row, given.user_score, given.user_comment)
        return given

    @app.get("/healthz")
    async def healthz(self) -> dict[str, str]:
        """This process answers."""
        return {"status": "ok"}

    @app.get("/readyz")
    async def readyz(self) -> JSONResponse:
        """Every stage has a replica that answers."""
        status = (await asyncio.to_thread(serve.status)).applications
        stages = {name: str(d.status.value) for one in status.values() for name, d in one.deployments.items()}
        ready = bool(stages) and all(state in ("HEALTHY", "UPSCALING", "DOWNSCALING") for state in stages.values())
        return JSONResponse({"ready": ready, "deployments": stages}, 200 if ready else 503)

    async def _ended(self, job_id: str) -> jobs.Row:
        """The job's row once it is in a final state. A runner that dies meanwhile is replaced, and its successor ends the job."""
        while True:
            try:
                row = await self._runner.wait.remote(job_id)
            except (ActorDiedError, ActorUnavailableError):
                await asyncio.sleep(POLL_S)
                continue
            if row is None:
                raise RequestError("internal", "The job has vanished from the table.")
            return row

    async def _cancel(self, job_id: str) -> None:
        await asyncio.to_thread(self._table.request_cancel, job_id)
        await self._runner.cancel.remote(job_id)

    async def _job(self, id: str) -> jobs.Row:
        row = await asyncio.to_thread(self._table.get, id)
        if row is None:
            raise RequestError("not_found", f"There is no job or request {id[:64]}.", field="job_id")
        return row

    async def _answer(self, id: str) -> JobAnswer:
        row = await self._job(id)
        position = await asyncio.to_thread(self._table.position, row) if row["state"] == jobs.QUEUED else None
        return _job_answer(row, position)

    async def _accepted(self, job_id: str) -> JSONResponse:
        answer = await self._answer(job_id)
        return JSONResponse(answer.model_dump(), 202, {"Location": f"/jobs/{job_id}", "Preference-Applied": "respond-async"})

    async def _changes(self, job_id: str) -> AsyncIterator[str]:
        last = ""
        while True:
            answer = await self._answer(job_id)
            data = answer.model_dump_json()
            if data != last:
                yield f"event: {answer.state}\ndata: {data}\n\n"
                last = data
            if answer.state in jobs.FINAL_STATES:
                return
            await asyncio.sleep(POLL_S)
