"""Admission: from an HTTP request to a stored job, or to a refusal that leaves a record too."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from starlette.requests import Request

from deployments.faults import Faults, note
from serve import jobs
from serve.access import caller_of
from serve.audit import Action
from serve.expect import Expectation
from serve.jobs import JobTable, KeyTaken
from serve.keys import Caller
from serve.meters import DoorMeters
from serve.schema import parse_order
from serve.settings import Settings
from serve.terms import Terms, content_hash, read_terms
from serve.traffic import Assignment
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


SHARES = {-1: 0.5, 0: 0.9, 1: 1.0}
"""Share of the queue that a priority may fill: batch work leaves half of it to people, people leave a tenth to what is urgent."""
LONGEST_RETRY_S = 120
"""A client that is told to come back later than this comes back by itself."""


def preferred_wait_s(request: Request) -> float | None:
    """How long the client wants to wait, from `Prefer` (RFC 7240): 0 for respond-async, N for wait=N, None without end."""
    words = {word.strip().lower() for word in request.headers.get("prefer", "").split(",")}
    waits = [word.removeprefix("wait=") for word in words if word.startswith("wait=")]
    if waits and waits[0].isdigit():
        return float(waits[0])
    return 0.0 if "respond-async" in words else None


def _ordered(values: Mapping[str, Any]) -> dict[str, Any]:
    """What a request asks for: parameters, labels and the hashes of its inputs."""
    names = (*fields.names("parameter"), *fields.LABELS, "portrait_hash", "audio_hash")
    return {name: values[name] for name in names if name in values}


class Admission:
    """Checks a request, stores its inputs, and puts a job into the table."""

    def __init__(self, settings: Settings, table: JobTable, assets: AssetStore, telemetry: Telemetry, redactor: Redactor):
        self._settings = settings
        self._table = table
        self._assets = assets
        self._telemetry = telemetry
        self._redactor = redactor
        self.synonyms = read_synonyms(settings.synonyms_file) if settings.synonyms_file else None
        self._open = settings.on_loopback and not settings.locked
        self._locked = settings.locked
        self.faults = Faults(settings.faults_file)
        self._assignment = Assignment(settings.traffic_experiment)
        self._expectation = Expectation(table)
        self.meters = DoorMeters(table, settings.data_dir, settings.max_jobs_queued)
        self.draining = False

    async def accept(self, request: Request, read: Callable[[Request], Awaitable[Order]] | None = None) -> str:
        """The id of the job, which is on the disk when this returns.

        `read` takes the order out of the request, where it does not lie in its body.

        An idempotency key that is known with the same order gives the job that has it, and leaves no record of its own: it is the
        same request. Raises RequestError; the refusal has then left its record span and its terminal event.
        """
        started_ns = time.time_ns()
        values: dict[str, Any] = self.identity(request, "generate")
        context = RequestContext(request.state.request_id, request.state.traceparent, identity=values)
        order = Order({}, {})
        try:
            order = await (read or self._read)(request)
            values |= parse_order(order.parameters)
            terms = await read_terms(request, self._settings, values["owner_hash"] or "")
            known = await self._known(terms)
            if known is None:
                await self._make_room(terms.priority, caller_of(request))
            await self._store_inputs(order, context, values)
            content = content_hash(_ordered(values), order.parameters)
            if known is not None:
                return self._same(known, content)
            # After the hash of the order: the same order is the same request, whichever arm it was drawn into.
            values |= self._assignment.of(values, order.parameters)
            return await self._store(request, context, values, terms, content)
        except RequestError as error:
            self.refuse(request, context, values, started_ns, error)
            raise
        finally:
            await order.close()

    async def _read(self, request: Request) -> Order:
        return await read_order(limited(request, self._settings.max_upload_bytes))

    async def repeat(self, request: Request, row: jobs.Row) -> str:
        """A new job with the order of an ended one, by hand. Raises RequestError as `accept` does."""
        started_ns = time.time_ns()
        values: dict[str, Any] = {**self.identity(request, "generate"), **_ordered(row["values"]), "replay_of": row["request_id"]}
        context = RequestContext(request.state.request_id, request.state.traceparent, identity=values)
        try:
            terms = await read_terms(request, self._settings, values["owner_hash"] or "")
            await self._make_room(terms.priority, caller_of(request))
            for name in ("portrait", "audio"):
                await self._assets.find(values[f"{name}_hash"], name)
            terms = replace(terms, idempotency_key=None, webhook_url=terms.webhook_url or row["webhook_url"])
            return await self._store(request, context, values, terms, row["content_hash"], "retry")
        except RequestError as error:
            self.refuse(request, context, values, started_ns, error)
            raise

    async def _store(
        self,
        request: Request,
        context: RequestContext,
        values: dict[str, Any],
        terms: Terms,
        content: str | None,
        action: Action = "generate",
    ) -> str:
        values |= {"job_id": uuid7(), "attempt": 1}
        try:
            told = {**self.who(request), "consent_reference": terms.consent_reference}
            await asyncio.to_thread(self._table.add, self._row(request, values, time.time_ns(), terms, content), action, told)
        except KeyTaken:  # the same request came twice at the same moment
            known = await self._known(terms)
            if known is None:
                raise RequestError("internal", "The job of this idempotency key has vanished.") from None
            return self._same(known, content)
        self._telemetry.events.log_event("request_received", context, **values)
        return values["job_id"]

    async def _known(self, terms: Terms) -> jobs.Row | None:
        key = terms.idempotency_key
        return None if key is None else await asyncio.to_thread(self._table.by_key, key)

    @staticmethod
    def _same(known: jobs.Row, content: str | None) -> str:
        if known["content_hash"] != content:
            raise RequestError("idempotency_mismatch", "This Idempotency-Key was used for another order.", field="Idempotency-Key")
        return known["job_id"]

    async def _make_room(self, priority: int, caller: Caller | None) -> None:
        """Raises RequestError: rate_limited (the key's department has too many unfinished jobs), or overloaded where the queue is
        full for this priority: the less urgent is refused first."""
        if self.draining:
            raise RequestError("overloaded", "The service is being stopped; it takes this up when it is back.")
        if caller is not None and caller.at_once is not None:
            unfinished = await asyncio.to_thread(self._table.unfinished, caller.department)
            if unfinished >= caller.at_once:
                limit = f"at most {caller.at_once} for the key {caller.key_id}"
                raise RequestError("rate_limited", f"{unfinished} jobs of {caller.department} have not ended; {limit}.")
        room = int(self._settings.max_jobs_queued * SHARES[priority])
        waiting = await asyncio.to_thread(self._table.waiting)
        if waiting >= max(1, room):
            error = RequestError("overloaded", f"{waiting} jobs are waiting already; at most {room} for this priority.")
            usual_s = await asyncio.to_thread(self._expectation.drain_s)
            # Until a tenth of what waits is done there is no room; a guess where nothing is known.
            error.retry_after_s = None if usual_s is None else min(LONGEST_RETRY_S, max(1, math.ceil(usual_s / 10)))
            raise error

    def note_asset(self, asset: Asset, owner_hash: str) -> None:
        """Puts an upload into the catalogue, to be found by its name."""
        keys = search_keys(asset.name, self.synonyms) if asset.name else []
        self._table.add_asset(asset.asset_id, owner_hash, asset.name, asset.bytes, keys)

    def note_assets(self, assets: Sequence[Asset], owner_hash: str) -> None:
        """As `note_asset`, for many at once, and without waiting for the disk."""
        rows = [(one.asset_id, one.name, one.bytes, search_keys(one.name, self.synonyms) if one.name else []) for one in assets]
        self._table.add_assets(owner_hash, rows)

    def who(self, request: Request) -> dict[str, Any]:
        """Who asks, in clear, for the audit trail: the key and its name, else what the open door was told."""
        caller = caller_of(request)
        if caller is not None:
            return {"who": caller.name, "key_id": caller.key_id, "of": caller.department}
        return {"who": request.headers.get("x-owner", "")[:128] or None} if self._open else {"who": "a signed link"}

    def holder(self, identity: Mapping[str, Any]) -> str:
        """Whom the catalogue knows an upload by: the department where keys are asked for, else the person."""
        if self._locked:
            return self._redactor.hash(f"department {identity['department']}")
        return str(identity.get("owner_hash") or "")

    async def check_asset(self, asset_id: str, identity: Mapping[str, Any], field: str) -> None:
        """Raises RequestError(asset_not_found) where keys are asked for and nobody of this department has uploaded it."""
        if self._locked and not await asyncio.to_thread(self._table.has_asset, asset_id, self.holder(identity)):
            raise RequestError("asset_not_found", f"There is no asset {asset_id[:64]}.", field=field)

    def log_score(self, row: jobs.Row, user_score: int, user_comment: str | None) -> None:
        """Writes the event of a person's judgement of an ended job."""
        context = RequestContext(row["request_id"], row["traceparent"], job_id=row["job_id"], attempt=row["attempt"])
        self._telemetry.events.log_event("user_score", context, user_score=user_score, user_comment=user_comment)

    def owner_hash(self, request: Request) -> str:
        """Keyed hash of the person who asks (the key's name), as far as that is known ("" where it is not)."""
        caller = caller_of(request)
        owner = caller.name if caller else request.headers.get("x-owner") if self._open else None
        return self._redactor.hash(owner) if owner else ""

    def identity(self, request: Request, operation: str) -> dict[str, Any]:
        """Who asks: what the key says. Where none is asked for, X-Department and X-Owner are believed, on loopback only."""
        client = request.client.host if request.client else ""
        caller = caller_of(request)
        said = (request.headers.get("x-department", "")[:128] or None) if self._open else None
        return {
            "operation": operation,
            "request_id": request.state.request_id,
            "client_request_id": (request.state.client_request_id or "")[:128] or None,
            "trace_id": request.state.traceparent.split("-")[1],
            "department": caller.department if caller else said,
            "owner_hash": self.owner_hash(request) or None,
            "client_hash": self._redactor.hash(client) if client else None,
        }

    async def _store_inputs(self, order: Order, context: RequestContext, values: dict[str, Any]) -> None:
        spoil = self.faults.chosen(STAGE, context)
        for fault in spoil:
            note(self._telemetry, context, fault)
        for name, value in order.inputs.items():
            if isinstance(value, str):
                await self.check_asset(value, values, name)
            asset: Asset = await self._assets.resolve(value, name)
            if spoil and asset.name:
                asset = replace(asset, name=f"\u200b{asset.name}")
            values[f"{name}_hash"] = asset.asset_id
            if asset.name is not None or (self._locked and not isinstance(value, str)):
                await asyncio.to_thread(self.note_asset, asset, self.holder(values))
            if asset.name is None:
                continue
            if hidden := invisible(asset.name):
                values["invisible_characters"] = list(dict.fromkeys([*values.get("invisible_characters", []), *hidden]))
            if self._settings.redact_keep_names:
                values |= {f"{name}_name": asset.name, f"{name}_keys": search_keys(asset.name, self.synonyms)}

    def refuse(
        self, request: Request, context: RequestContext, values: Mapping[str, Any], started_ns: int, error: RequestError
    ) -> None:
        """Leaves the record of a request that never became a job."""
        error.stage = error.stage or STAGE
        self.meters.refused(error.type)
        self._telemetry.events.log_event("request_received", context, **values)
        record = RequestRecord(self._telemetry, context, started_ns=started_ns, values=values, parent=request.state.parent)
        record.fail(error)
        record.finish()

    def _row(
        self, request: Request, values: Mapping[str, Any], started_ns: int, terms: Terms, content: str | None
    ) -> dict[str, Any]:
        return {
            "job_id": values["job_id"],
            "request_id": values["request_id"],
            "operation": "generate",
            "state": jobs.QUEUED,
            "attempt": 1,
            "attempt_limit": self._settings.job_attempts,
            "priority": terms.priority,
            "idempotency_key": terms.idempotency_key,
            "content_hash": content,
            "webhook_url": terms.webhook_url,
            "cancel_requested": False,
            "values": fields.cast_row(values) | {"advice": fields.advise(values)},
            "traceparent": request.state.traceparent,
            "parent": request.state.parent,
            "accepted_ns": started_ns,
            "deadline": terms.deadline,
        }
