"""POST /recognize: pictures in, a label for each of them out; every picture is a request with a record of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse

from deployments.faults import note
from deployments.messages import RECOGNIZE, PictureAnswer, PictureTask
from serve.admission import STAGE, Admission
from serve.audit import Trail
from serve.pipeline import Handle, ray_errors
from serve.schema import parse_labels
from serve.settings import Settings
from serve.terms import deadline_of
from serve.uploads import Asset, AssetStore, limited, read_pictures
from telemetry import fields
from telemetry.context import RequestContext
from telemetry.errors import RequestError
from telemetry.ids import new_traceparent, uuid7
from telemetry.names import differences, invisible, marked, normalise, search_keys
from telemetry.record import RequestRecord
from telemetry.redact import Redactor
from telemetry.tracing import Telemetry

SEEN = "path_invisible_characters"


@dataclass
class _Picture:
    """One picture on its way: its request, and what is known of it so far."""

    context: RequestContext
    record: RequestRecord
    given: UploadFile | str
    shown: dict[str, Any] = field(default_factory=dict)
    """What the client is told of the name and the asset."""
    task: PictureTask | None = None
    answer: PictureAnswer | None = None


class Recognition:
    """Checks a request, stores its pictures, has them recognised, and writes a record for each."""

    def __init__(
        self, settings: Settings, door: Admission, assets: AssetStore, telemetry: Telemetry, redactor: Redactor, recognize: Handle
    ):
        self._settings = settings
        self._door = door
        self._assets = assets
        self._telemetry = telemetry
        self._redactor = redactor
        self._recognize = recognize
        self._trail = Trail(settings.jobs_url)
        self._inside = 0

    async def answer(self, request: Request) -> JSONResponse:
        """The results in the order of the pictures, over HTTP. Raises RequestError as `results` does."""

        async def read() -> tuple[list[UploadFile | str], dict[str, Any]]:
            return await read_pictures(limited(request, self._settings.max_upload_bytes), self._settings.max_pictures)

        return JSONResponse(await self.results(request, read))

    async def results(
        self, request: Request, read: Callable[[], Awaitable[tuple[list[UploadFile | str], dict[str, Any]]]]
    ) -> dict[str, Any]:
        """The results in the order of the pictures. One picture that fails is an error answer; of several each has its own.

        `read` gives the pictures and what else the request says. Raises RequestError; the refusal has then left its record.
        """
        started_ns = time.time_ns()
        values = self._door.identity(request, "recognize")
        context = RequestContext(request.state.request_id, request.state.traceparent, operation="recognize", identity=values)
        given: list[UploadFile | str] = []
        try:
            given, stated = await read()
            values |= self._labels(stated)
            deadline = deadline_of(request, self._settings)
            if self._door.draining:
                raise RequestError("overloaded", "The service is being stopped; send it again when it is back.")
            if self._inside + len(given) > self._settings.max_pictures_waiting:
                raise RequestError("overloaded", f"{self._inside} pictures are being recognised already.")
        except RequestError as error:
            await _close(given)
            self._door.refuse(request, context, values, started_ns, error)
            raise
        several = len(given) > 1
        pictures = [self._begin(request, one, values, started_ns, deadline, several=several) for one in given]
        self._inside += len(pictures)
        try:
            await self._run(pictures)
        except asyncio.CancelledError:
            self._end_all(pictures, RequestError("cancelled", "The client went away.", stage=RECOGNIZE))
            raise
        finally:
            self._inside -= len(pictures)
            await _close(given)
        results = [self._finish(one) for one in pictures]
        asked = [{name: one.get(name) for name in ("request_id", "image_hash", "status")} for one in results]
        about = {name: values.get(name) for name in ("request_id", "department", "owner_hash")}
        await asyncio.to_thread(self._trail.note, "recognize", {**about, **self._door.who(request), "pictures": asked})
        only = pictures[0].answer
        if not several and only is not None and only.error is not None:
            raise only.error
        failed = sum(result["status"] != "ok" for result in results)
        return {"request_id": request.state.request_id, "failed": failed, "results": results}

    @staticmethod
    def _labels(stated: dict[str, Any]) -> dict[str, Any]:
        if unknown := sorted(stated.keys() - set(fields.LABELS)):
            known = ", ".join(fields.LABELS)
            raise RequestError(
                "invalid_parameter", f"{unknown[0]} is not known here.", field=unknown[0], hint=f"Beside image: {known}."
            )
        return parse_labels(stated)

    def _begin(
        self, request: Request, given: UploadFile | str, values: dict[str, Any], started_ns: int, deadline: float, *, several: bool
    ) -> _Picture:
        """The request that a picture is: the HTTP request itself, or where that brought several one of its own."""
        parent = request.state.parent
        if several:
            request_id, traceparent = uuid7(), new_traceparent(parent)
            values = values | {
                "request_id": request_id,
                "trace_id": traceparent.split("-")[1],
                "batch_id": request.state.request_id,
            }
        else:
            request_id, traceparent = request.state.request_id, request.state.traceparent
        context = RequestContext(request_id, traceparent, operation="recognize", deadline=deadline, identity=values)
        record = RequestRecord(self._telemetry, context, started_ns=started_ns, values=values, parent=parent)
        return _Picture(context, record, given)

    async def _run(self, pictures: Sequence[_Picture]) -> None:
        """Sees every picture to its answer."""
        for one in pictures:
            await self._store(one)
        await self._note_names(pictures)
        tasks = [(one, one.task) for one in pictures if one.task is not None]
        if not tasks:
            return
        try:
            with ray_errors(RECOGNIZE):
                answers = await self._recognize.remote([task for _, task in tasks])
        except RequestError as error:
            answers = [PictureAnswer({}, error=error)] * len(tasks)
        for (one, _), answer in zip(tasks, answers, strict=True):
            one.answer = answer

    async def _store(self, one: _Picture) -> None:
        """Stores a picture under its hash and looks at its name; what is wrong with either ends it here."""
        known: dict[str, Any] = {}
        try:
            known |= (named := self._name(one))
            if isinstance(one.given, UploadFile):
                if not one.given.size:
                    raise RequestError("image_undecodable", "The file is empty.", field="image")
                # Not synced: the answer promises a label and not a copy, and 64 clients would wait for one disk.
                asset = await self._assets.save(one.given, synced=False)
            else:
                await self._door.check_asset(one.given, one.context.identity, "image")
                asset = await self._assets.find(one.given, "image")
            known |= {"image_hash": asset.asset_id, "input_bytes": asset.bytes}
            one.shown["image_hash"] = asset.asset_id
            if SEEN in one.shown["advice"] and self._settings.refuse_invisible_names:
                raise RequestError(
                    SEEN, f"The name {one.shown['name']} holds {', '.join(named['invisible_characters'])}.", field="image"
                )
            one.task = PictureTask(
                replace(one.context, identity={**one.context.identity, **known}), asset.asset_id, asset.bytes, named
            )
        except RequestError as error:
            error.stage = STAGE
            one.answer = PictureAnswer({}, error=error)
        one.record.update(**known)
        self._telemetry.events.write_row("request_received", one.context, known)
        if one.answer is not None and one.answer.error is not None:
            self._telemetry.events.write_row(
                "input_error", one.context, known | {"input": "image", "error_type": one.answer.error.type}
            )

    def _name(self, one: _Picture) -> dict[str, Any]:
        """What telemetry may hold of the file's name; what the client is told of it goes into `shown`."""
        one.shown |= {"name": None, "name_differences": [], "advice": []}
        name = one.given.filename if isinstance(one.given, UploadFile) else None
        if not name:
            return {}
        for fault in self._door.faults.chosen(STAGE, one.context):
            note(self._telemetry, one.context, fault)
            name = f"\u200b{name}"
        one.shown |= {"name": marked(name), "name_differences": differences(name)}
        known: dict[str, Any] = {"name_hash": self._redactor.hash(normalise(name))}
        if hidden := invisible(name):
            one.shown["advice"] = [SEEN]
            known["invisible_characters"] = hidden
        if self._settings.redact_keep_names:
            known |= {"image_name": marked(name), "image_keys": search_keys(name, self._door.synonyms)}
        return known

    async def _note_names(self, pictures: Sequence[_Picture]) -> None:
        """Puts the uploads into the catalogue, to be found by their names."""
        assets = [
            Asset(one.task.image_hash, one.task.bytes, one.given.filename)
            for one in pictures
            if one.task is not None and isinstance(one.given, UploadFile)
        ]
        if assets:
            await asyncio.to_thread(self._door.note_assets, assets, self._door.holder(pictures[0].context.identity))

    def _finish(self, one: _Picture) -> dict[str, Any]:
        """Writes record span and terminal event; the result as the client gets it."""
        answer = one.answer or PictureAnswer({}, error=RequestError("internal", "The picture got no answer.", stage=RECOGNIZE))
        advice = [*one.shown["advice"], *answer.advice]
        one.record.update(**answer.fields)
        one.record.advise(*advice)
        if answer.error is not None:
            one.record.fail(answer.error)
        one.record.finish()
        trace_id = one.context.trace_id
        result = {"request_id": one.context.request_id, "trace_id": trace_id, "status": "error" if answer.error else "ok"}
        result |= one.shown | (answer.told or {}) | {"advice": advice}
        if answer.error is not None:
            result["error"] = answer.error.as_dict() | {"trace_id": trace_id}
        return result

    def _end_all(self, pictures: Sequence[_Picture], error: RequestError) -> None:
        for one in pictures:
            one.record.fail(error)
            one.record.finish()


async def _close(given: Sequence[UploadFile | str]) -> None:
    for one in given:
        if isinstance(one, UploadFile):
            await one.close()
