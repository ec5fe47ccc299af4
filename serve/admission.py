"""Admission: from an HTTP request to a stored job, or to a refusal that leaves a record too."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from starlette.requests import Request

from deployments.faults import Faults, note
from serve import jobs
from serve.jobs import JobTable
from serve.schema import parse_order
from serve.settings import Settings
from serve.uploads import Asset, AssetStore, Order, limited, read_order
from telemetry import fields
from telemetry.context import RequestContext
from telemetry.errors import RequestError
from telemetry.ids import uuid7
from telemetry.names import invisible, read_synonyms, search_keys
from telemetry.record import RequestRecord
from telemetry.redact import Redactor
from telemetry.tracing import Telemetry

STAGE = "admission"
"""`failed_stage` of what never became a job."""


def preferred_wait_s(request: Request) -> float | None:
    """How long the client wants to wait, from `Prefer` (RFC 7240): 0 for respond-async, N for wait=N, None without end."""
    words = {word.strip().lower() for word in request.headers.get("prefer", "").split(",")}
    waits = [word.removeprefix("wait=") for word in words if word.startswith("wait=")]
    if waits and waits[0].isdigit():
        return float(waits[0])
    return 0.0 if "respond-async" in words else None


class Admission:
    """Checks a request, stores its inputs, and puts a job into the table."""

    def __init__(self, settings: Settings, table: JobTable, assets: AssetStore, telemetry: Telemetry, redactor: Redactor):
        self._settings = settings
        self._table = table
        self._assets = assets
        self._telemetry = telemetry
        self._redactor = redactor
        self._synonyms = read_synonyms(settings.synonyms_file) if settings.synonyms_file else None
        self._local = settings.on_loopback
        self._faults = Faults(settings.faults_file)

    async def accept(self, request: Request) -> str:
        """The id of the job, which is on the disk when this returns.

        Raises RequestError; the refusal has then left its record span and its terminal event.
        """
        started_ns = time.time_ns()
        values: dict[str, Any] = self._identity(request)
        context = RequestContext(request.state.request_id, request.state.traceparent, identity=values)
        order = Order({}, {})
        try:
            order = await read_order(limited(request, self._settings.max_upload_bytes))
            values |= parse_order(order.parameters)
            deadline = self._deadline(request)
            if await asyncio.to_thread(self._table.waiting) >= self._settings.max_jobs_queued:
                raise RequestError("overloaded", f"{self._settings.max_jobs_queued} jobs are waiting already.")
            await self._store_inputs(order, context, values)
        except RequestError as error:
            self._refuse(request, context, values, started_ns, error)
            raise
        finally:
            await order.close()
        values |= {"job_id": uuid7(), "attempt": 1}
        started_ns = time.time_ns()
        await asyncio.to_thread(self._table.add, self._row(request, values, started_ns, deadline))
        self._telemetry.events.log_event("request_received", context, **values)
        return values["job_id"]

    def note_asset(self, asset: Asset, owner_hash: str) -> None:
        """Puts an upload into the catalogue, to be found by its name."""
        keys = search_keys(asset.name, self._synonyms) if asset.name else []
        self._table.add_asset(asset.asset_id, owner_hash, asset.name, asset.bytes, keys)

    def log_score(self, row: jobs.Row, user_score: int, user_comment: str | None) -> None:
        """Writes the event of a person's judgement of an ended job."""
        context = RequestContext(row["request_id"], row["traceparent"], job_id=row["job_id"], attempt=row["attempt"])
        self._telemetry.events.log_event("user_score", context, user_score=user_score, user_comment=user_comment)

    def owner_hash(self, request: Request) -> str:
        """Keyed hash of the person who asks, as far as that is known ("" where it is not)."""
        owner = request.headers.get("x-owner") if self._local else None
        return self._redactor.hash(owner) if owner else ""

    def _identity(self, request: Request) -> dict[str, Any]:
        """Who asks. Until there is access control, X-Department and X-Owner are believed on loopback only."""
        client = request.client.host if request.client else ""
        return {
            "operation": "generate",
            "request_id": request.state.request_id,
            "client_request_id": (request.state.client_request_id or "")[:128] or None,
            "trace_id": request.state.traceparent.split("-")[1],
            "department": (request.headers.get("x-department", "")[:128] or None) if self._local else None,
            "owner_hash": self.owner_hash(request) or None,
            "client_hash": self._redactor.hash(client) if client else None,
        }

    def _deadline(self, request: Request) -> float:
        """Wall-clock end: X-Deadline-Seconds from now, else the setting's."""
        asked = request.headers.get("x-deadline-seconds")
        try:
            seconds = self._settings.deadline_s if asked is None else float(asked)
        except ValueError:
            seconds = math.nan
        if not 0 <= seconds <= 86_400:
            raise RequestError("invalid_parameter", "X-Deadline-Seconds must be a number, 0 to 86400.", field="X-Deadline-Seconds")
        return time.time() + seconds

    async def _store_inputs(self, order: Order, context: RequestContext, values: dict[str, Any]) -> None:
        spoil = self._faults.chosen(STAGE, context)
        for fault in spoil:
            note(self._telemetry, context, fault)
        for name, value in order.inputs.items():
            asset: Asset = await self._assets.resolve(value, name)
            if spoil and asset.name:
                asset = replace(asset, name=f"\u200b{asset.name}")
            values[f"{name}_hash"] = asset.asset_id
            if asset.name is not None:
                if hidden := invisible(asset.name):
                    values["invisible_characters"] = list(dict.fromkeys([*values.get("invisible_characters", []), *hidden]))
                await asyncio.to_thread(self.note_asset, asset, values["owner_hash"] or "")
                if self._settings.redact_keep_names:
                    values |= {f"{name}_name": asset.name, f"{name}_keys": search_keys(asset.name, self._synonyms)}

    def _refuse(
        self, request: Request, context: RequestContext, values: Mapping[str, Any], started_ns: int, error: RequestError
    ) -> None:
        error.stage = STAGE
        self._telemetry.events.log_event("request_received", context, **values)
        record = RequestRecord(self._telemetry, context, started_ns=started_ns, values=values, parent=request.state.parent)
        record.fail(error)
        record.finish()

    def _row(self, request: Request, values: Mapping[str, Any], started_ns: int, deadline: float) -> dict[str, Any]:
        return {
            "job_id": values["job_id"],
            "request_id": values["request_id"],
            "operation": "generate",
            "state": jobs.QUEUED,
            "attempt": 1,
            "priority": 0,
            "cancel_requested": False,
            "values": fields.cast_row(values) | {"advice": fields.advise(values)},
            "traceparent": request.state.traceparent,
            "parent": request.state.parent,
            "accepted_ns": started_ns,
            "deadline": deadline,
        }
