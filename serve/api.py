"""The HTTP ingress: routes and admission only. What a generation does stands in `serve.runner`."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, StreamingResponse
from ray import serve
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException
from sqlalchemy.exc import OperationalError
from starlette.requests import Request
from starlette.responses import Response

from deployments.artifacts import artifacts_at, video_name
from serve import admission, audit_views, jobs
from serve.access import Gate, Locked, caller_of, lock
from serve.answers import Identified, install_errors
from serve.audit import Trail
from serve.expect import Expectation
from serve.grpc.door import GrpcDoor
from serve.jobs import JobTable
from serve.keys import KeyTable
from serve.meters import CONTENT_TYPE
from serve.oidc import Issuer
from serve.pipeline import Handle
from serve.recognition import Recognition
from serve.results import HeldFile
from serve.schema import (
    AssetAnswer,
    ErrorAnswer,
    GenerateAnswer,
    JobAnswer,
    RecognizeAnswer,
    Score,
    VideoLink,
    generate_answer,
    generate_body,
    recognize_body,
)
from serve.settings import Settings
from serve.terms import HEADERS
from serve.uploads import AssetStore, limited
from serve.views import job_answer, video_url
from telemetry.errors import ERROR_TYPES, RequestError
from telemetry.redact import Redactor
from telemetry.tracing import setup

NAME = "api"
LONGEST_LINK_S = 7 * 86_400.0
METRICS_S = 2.0
"""A runner that does not say what it counted within this time is left out of a scrape: Prometheus waits 10 s by default."""

_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorAnswer, "description": ", ".join(e.name for e in ERROR_TYPES.values() if e.http_status == status)}
    for status in sorted({e.http_status for e in ERROR_TYPES.values()})
}

app = FastAPI(
    title="Sonoscope",
    description="A portrait and a speech recording in, a talking-head video out; pictures in, labels out. Every request leaves one "
    "record.",
    # Our own spans are the trace; FastAPI's would put a second tree beside it.
    telemetry={"tracing": False},
    responses=_ERRORS,
)
app.add_middleware(Locked)
app.add_middleware(Identified)  # around it: a refusal has an id, too
install_errors(app)
app.include_router(audit_views.router)


@serve.deployment(name=NAME)
@serve.ingress(app)
class Api(GrpcDoor):
    """Takes requests in; waits for the runner where the client waits."""

    def __init__(self, settings: Settings, runner: Handle, recognize: Handle):
        self._settings = settings
        self._runner = runner
        self._table = JobTable(settings.jobs_url)
        self._expectation = Expectation(self._table)
        self._trail = Trail(settings.jobs_url)
        self._telling: set[asyncio.Task[None]] = set()
        self._artifacts = artifacts_at(settings.place)
        self._assets = AssetStore(self._artifacts)
        telemetry = setup("sonoscope", settings.data_dir, environment=settings.environment, version=settings.service_version)
        redactor = Redactor.from_file(settings.data_dir / "redact.key")
        self._door = admission.Admission(settings, self._table, self._assets, telemetry, redactor)
        audit_views.install(self._trail, redactor)
        link_key = redactor.hash("key of signed links").encode()
        issuer = Issuer(settings.oidc) if settings.oidc else None
        keys = KeyTable(settings.jobs_url)
        self._gate = Gate(keys, link_key, self._door.meters.refused, issuer=issuer) if settings.locked else None
        lock(self._gate)
        self._recognition = Recognition(settings, self._door, self._assets, telemetry, redactor, recognize)

    @app.post(
        "/generate",
        openapi_extra={"requestBody": generate_body(), "parameters": HEADERS},
        responses={200: {"model": GenerateAnswer}, 202: {"model": JobAnswer}},
    )
    async def generate(self, request: Request) -> Response:
        """Makes a talking-head video. `Prefer: respond-async` answers 202 at once; `Prefer: wait=N` after N seconds at most."""
        job_id = await self._door.accept(request)
        wait_s = admission.preferred_wait_s(request)
        if wait_s == 0:
            self._say_that_there_is_work()
            return await self._accepted(job_id)
        try:
            row = await asyncio.wait_for(self._ended(job_id), wait_s)
        except TimeoutError:
            return await self._accepted(job_id)
        except asyncio.CancelledError:
            # The client is gone: nobody will take the video, so the work stops. One with a key will come back for it.
            if "idempotency-key" not in request.headers:
                await asyncio.shield(self._cancel(job_id))
            raise
        if row["state"] == jobs.SUCCEEDED:
            return JSONResponse(generate_answer(row["result"], video_url(row["request_id"])).model_dump())
        error = row["error"]
        raise RequestError(error["type"], error["message"], field=error["field"], hint=error["hint"])

    @app.post("/recognize", openapi_extra={"requestBody": recognize_body()}, responses={200: {"model": RecognizeAnswer}})
    async def recognize(self, request: Request) -> Response:
        """Says what is on each picture, in English and Chinese, or that it is not sure. Several pictures: one answer for each."""
        return await self._recognition.answer(request)

    @app.post("/assets", status_code=201)
    async def upload(self, request: Request) -> AssetAnswer:
        """Stores a file, sent as `file` in a multipart form; the id is used in POST /generate."""
        form = await limited(request, self._settings.max_upload_bytes).form(max_files=1, max_fields=8)
        file = form.get("file")
        if not hasattr(file, "read"):
            raise RequestError("invalid_parameter", "file is missing.", field="file", hint="Send the file as multipart field file.")
        asset = await self._assets.save(file)  # pyright: ignore[reportArgumentType]
        await asyncio.to_thread(self._door.note_asset, asset, self._door.holder(self._door.identity(request, "generate")))
        return AssetAnswer(asset_id=asset.asset_id, bytes=asset.bytes)

    @app.get("/assets/{asset_id}")
    async def asset(self, asset_id: str, request: Request) -> AssetAnswer:
        """Whether an upload is still there, and how large it is."""
        caller = caller_of(request)
        if caller is not None and not caller.may("all_departments"):
            await self._door.check_asset(asset_id, self._door.identity(request, "generate"), "asset_id")
        found = await self._assets.find(asset_id, "asset_id")
        return AssetAnswer(asset_id=found.asset_id, bytes=found.bytes)

    @app.get("/videos/{request_id}.mp4", response_class=FileResponse)
    async def video(self, request_id: str, request: Request) -> FileResponse:
        """The finished file; ranges work. A signed link opens it without a key."""
        row = await self._job(request_id, request)
        if row["removed_ns"] is not None:
            raise RequestError("gone", f"The video {request_id} was removed.", field="request_id")
        try:
            if row["request_id"] != request_id:
                raise FileNotFoundError(request_id)
            held = await asyncio.to_thread(self._artifacts.held, video_name(request_id))
        except FileNotFoundError:
            raise RequestError("not_found", f"There is no video {request_id}.", field="request_id") from None
        if request.headers.get("range", "bytes=0-").startswith("bytes=0-"):  # a player asks for the rest part by part
            await self._note("video", request, row)
        return HeldFile(held, media_type="video/mp4", filename=f"{request_id}.mp4", content_disposition_type="inline")

    @app.get("/videos/{request_id}/link")
    async def video_link(self, request_id: str, request: Request, seconds: float = 3600.0) -> VideoLink:
        """An address of the video that needs no key for so long (a week at most); the open door's needs none in any case."""
        row = await self._job(request_id, request)
        if not 1 <= seconds <= LONGEST_LINK_S:
            raise RequestError("invalid_parameter", f"seconds must be 1 to {LONGEST_LINK_S:.0f}.", field="seconds")
        path = video_url(row["request_id"])
        await self._note("link", request, row, seconds=seconds)
        return VideoLink(url=path if self._gate is None else self._gate.link(path, seconds))

    @app.get("/jobs")
    async def list_jobs(self, request: Request, state: str | None = None, limit: int = 100) -> list[JobAnswer]:
        """The newest jobs, newest first; those of the key's department."""
        states, caller = [state] if state else [], caller_of(request)
        own = None if caller is None or caller.may("all_departments") else caller.department
        rows = await asyncio.to_thread(self._table.list, states=states, limit=max(1, min(limit, 1000)), department=own)
        return [job_answer(row) for row in rows]

    @app.get("/jobs/{job_id}")
    async def get_job(self, job_id: str, request: Request) -> JobAnswer:
        """State, stage and step of a job, by job id or request id."""
        await self._job(job_id, request)
        return await self._answer(job_id)

    @app.delete("/jobs/{job_id}", status_code=202)
    async def cancel_job(self, job_id: str, request: Request) -> JobAnswer:
        """Stops a job at its next step; one that has ended stays as it is."""
        return await self._stop(job_id, request)

    @app.post("/jobs/{job_id}/retry", status_code=202)
    async def retry_job(self, job_id: str, request: Request) -> JSONResponse:
        """Makes a failed or cancelled job once more: a new job with the same order; its record names the old one (`replay_of`)."""
        row = await self._job(job_id, request)
        if row["state"] not in (jobs.FAILED, jobs.CANCELLED):
            hint = "Wait for its end, or DELETE it first." if row["state"] != jobs.SUCCEEDED else "Its video is there."
            raise RequestError("invalid_parameter", f"The job is {row['state']}, not failed.", field="job_id", hint=hint)
        new = await self._door.repeat(request, row)
        self._say_that_there_is_work()
        return await self._accepted(new)

    @app.get("/jobs/{job_id}/events", response_class=StreamingResponse)
    async def job_events(self, job_id: str, request: Request) -> StreamingResponse:
        """Server-sent events: the job whenever it changes, until it has ended."""
        await self._job(job_id, request)
        return StreamingResponse(self._events(job_id), media_type="text/event-stream", headers={"Cache-Control": "no-store"})

    @app.post("/requests/{request_id}/score", status_code=201)
    async def score(self, request_id: str, given: Score, request: Request) -> Score:
        """A person's judgement of a finished request; it becomes an outcome like any other."""
        row = await self._job(request_id, request)
        if row["state"] not in jobs.FINAL_STATES:
            raise RequestError(
                "invalid_parameter", "The request has not ended yet.", field="request_id", hint="Score it when it has."
            )
        await self._note("score", request, row, user_score=given.user_score)
        self._door.log_score(row, given.user_score, given.user_comment)
        return given

    @app.get("/healthz")
    async def healthz(self) -> dict[str, str]:
        """This process answers: alive, whether it is ready or not."""
        return {"status": "ok"}

    @app.get("/metrics", response_class=PlainTextResponse)
    async def metrics(self) -> Response:
        """Counters, gauges and histograms for Prometheus."""
        try:
            counted = await asyncio.wait_for(self._runner.metrics.remote(), METRICS_S)
        except (RayError, RayServeException, TimeoutError):
            counted = None
        return Response(await asyncio.to_thread(self._door.meters.text, counted), media_type=CONTENT_TYPE)

    async def drain(self, within_s: float) -> int:
        """Takes nothing more in, lets what runs end within this time, leaves the rest queued; returns how many were put back."""
        self._door.draining = True
        return await self._runner.drain.remote(within_s)

    @app.get("/readyz")
    async def readyz(self) -> JSONResponse:
        """Every stage has a replica that answers, table and store can be read, and the service is not being stopped."""
        status = (await asyncio.to_thread(serve.status)).applications
        found = {name: d for one in status.values() for name, d in one.deployments.items()}
        stages = {name: str(d.status.value) for name, d in found.items()}
        # A new version takes over replica by replica: while one of either answers, the service does.
        answering = {name for name, d in found.items() if any(n and s == "RUNNING" for s, n in d.replica_states.items())}
        updated = {name for name in answering if stages[name] == "UPDATING"}
        try:
            await asyncio.to_thread(self._table.waiting)
            table = "HEALTHY"
        except OperationalError:
            table = "UNREACHABLE"
        try:
            await asyncio.to_thread(self._artifacts.check)
            store = "HEALTHY"
        except RequestError:
            store = "UNREACHABLE"
        good = ("HEALTHY", "UPSCALING", "DOWNSCALING")
        ready = bool(stages) and all(state in good or name in updated for name, state in stages.items())
        ready = ready and table == store == "HEALTHY" and not self._door.draining
        answer = {"ready": ready, "draining": self._door.draining, "jobs": table, "artifacts": store, "deployments": stages}
        return JSONResponse(answer, 200 if ready else 503)

    async def _accepted(self, job_id: str) -> JSONResponse:
        answer = await self._answer(job_id)
        return JSONResponse(answer.model_dump(), 202, {"Location": f"/jobs/{job_id}", "Preference-Applied": "respond-async"})

    async def _events(self, job_id: str) -> AsyncIterator[str]:
        async for answer in self._follow(job_id):
            yield f"event: {answer.state}\ndata: {answer.model_dump_json()}\n\n"
