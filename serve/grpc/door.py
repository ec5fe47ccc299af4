"""The gRPC methods. They ask the same gate, the same admission and the same desk as the routes of `serve.api`."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

from google.protobuf.json_format import ParseDict
from ray.serve.grpc_util import RayServegRPCContext
from starlette.datastructures import UploadFile
from starlette.requests import Request

from serve import admission, jobs
from serve.access import Gate
from serve.desk import Desk
from serve.grpc import sonoscope_pb2 as pb
from serve.grpc.calls import check_size, given_file, request_of, stamp, stated
from serve.recognition import Recognition
from serve.schema import RecognizeAnswer
from serve.settings import Settings
from serve.uploads import Order, check_inputs, check_pictures
from telemetry.errors import RequestError

_log = logging.getLogger("ray.serve")
Answer = TypeVar("Answer", pb.Job, pb.RecognizeAnswer)


class GrpcDoor(Desk):
    """The methods of `sonoscope.proto`. Ray hands on what a method sets on the context only with a message, never with an
    exception: an error is therefore set there, and the method returns."""

    _settings: Settings
    _gate: Gate | None
    _recognition: Recognition

    async def Generate(  # noqa: N802
        self, asked: pb.GenerateRequest, grpc_context: RayServegRPCContext
    ) -> AsyncIterator[pb.GenerateProgress]:
        """Makes a video: the job whenever it changes, then the result or the error."""
        request = request_of(grpc_context, "POST", "/generate")
        stamp(grpc_context, request)
        try:
            await self._let_in(request)
            job_id = await self._door.accept(request, lambda _: self._order(asked))
            self._say_that_there_is_work()
            async for progress in self._until_ended(request, job_id):
                yield progress
        except RequestError as error:
            yield pb.GenerateProgress(error=stamp(grpc_context, request, error))
        except Exception as error:  # whatever it is, it leaves in our shape, as over HTTP; the log has it whole
            _log.exception("Generate failed")
            yield pb.GenerateProgress(error=stamp(grpc_context, request, _unknown(error)))

    async def Recognize(self, asked: pb.RecognizeRequest, grpc_context: RayServegRPCContext) -> pb.RecognizeAnswer:  # noqa: N802
        """Says what is on each picture."""

        async def read() -> tuple[list[UploadFile | str], dict[str, Any]]:
            check_size(asked, self._settings.max_upload_bytes)
            given = [given_file(image) for image in asked.images]
            pictures = [one for one in given if one is not None]
            check_pictures(pictures, self._settings.max_pictures)
            return pictures, stated(asked.labels)

        async def answer(request: Request) -> dict[str, Any]:
            return RecognizeAnswer(**await self._recognition.results(request, read)).model_dump(exclude_none=True)

        return await self._answered(grpc_context, request_of(grpc_context, "POST", "/recognize"), answer, pb.RecognizeAnswer())

    async def GetJob(self, asked: pb.JobRequest, grpc_context: RayServegRPCContext) -> pb.Job:  # noqa: N802
        """State, stage and step of a job."""

        async def answer(request: Request) -> dict[str, Any]:
            await self._job(asked.id, request)
            return (await self._answer(asked.id)).model_dump(exclude_none=True)

        return await self._answered(grpc_context, request_of(grpc_context, "GET", "/jobs"), answer, pb.Job())

    async def Cancel(self, asked: pb.JobRequest, grpc_context: RayServegRPCContext) -> pb.Job:  # noqa: N802
        """Stops a job at its next step."""

        async def answer(request: Request) -> dict[str, Any]:
            return (await self._stop(asked.id, request)).model_dump(exclude_none=True)

        return await self._answered(grpc_context, request_of(grpc_context, "DELETE", "/jobs"), answer, pb.Job())

    async def _answered(
        self, context: RayServegRPCContext, request: Request, answer: Callable[[Request], Awaitable[dict[str, Any]]], told: Answer
    ) -> Answer:
        """`told`, filled with the answer; empty where the call's status is an error."""
        stamp(context, request)
        try:
            await self._let_in(request)
            ParseDict(await answer(request), told)
        except RequestError as error:
            stamp(context, request, error)
        except Exception as error:  # as in Generate
            _log.exception("%s failed", request.url.path)
            stamp(context, request, _unknown(error))
        return told

    async def _let_in(self, request: Request) -> None:
        """Raises RequestError where the door is closed to this client."""
        host = request.client.host if request.client else ""
        # Ray's gRPC proxy listens on every address: a service of this machine only has to say so itself.
        if self._settings.on_loopback and not (host and ipaddress.ip_address(host).is_loopback):
            self._door.meters.refused("forbidden")
            raise RequestError("forbidden", "This service is for its own machine only.", hint="Set host to the address to serve.")
        if self._gate is not None:
            request.state.caller = await self._gate.admit(request)

    async def _order(self, asked: pb.GenerateRequest) -> Order:
        check_size(asked, self._settings.max_upload_bytes)
        given = {"portrait": given_file(asked.portrait), "audio": given_file(asked.audio)}
        inputs = {name: value for name, value in given.items() if value is not None}
        check_inputs(inputs)
        return Order(inputs, stated(asked.parameters, asked.labels))

    async def _until_ended(self, request: Request, job_id: str) -> AsyncIterator[pb.GenerateProgress]:
        """The job's changes and its result; only the first with `prefer: respond-async`. Raises the RequestError of its end."""
        ended = False
        try:
            async for job in self._follow(job_id):
                ended = job.state in jobs.FINAL_STATES
                yield pb.GenerateProgress(job=ParseDict(job.model_dump(exclude_none=True, exclude={"result", "error"}), pb.Job()))
                if job.result is not None:
                    answer = ParseDict(job.result.model_dump(exclude_none=True), pb.GenerateAnswer())
                    yield pb.GenerateProgress(result=answer)
                elif job.error is not None:
                    error = job.error
                    raise RequestError(error.type, error.message, field=error.field, hint=error.hint)
                elif admission.preferred_wait_s(request) == 0:
                    ended = True  # for this client: nobody waits, and nothing is cancelled
                    return
        except (asyncio.CancelledError, GeneratorExit):
            # As over HTTP: nobody will take the video, unless somebody with a key comes back for it.
            if not ended and "idempotency-key" not in request.headers:
                await asyncio.shield(self._cancel(job_id))
            raise


def _unknown(error: Exception) -> RequestError:
    return RequestError("internal", f"The service failed: {type(error).__name__}.")
