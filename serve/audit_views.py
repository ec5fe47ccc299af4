"""The audit trail over HTTP: page by page, as a file, and the look at the whole chain. For auditors only."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict
from starlette.requests import Request

from serve.access import caller_of
from serve.audit import Action, Trail
from telemetry.errors import RequestError
from telemetry.redact import Redactor

PAGE, LARGEST_PAGE = 100, 1000
LARGEST_SEQ = 2**63 - 1
"""Largest number that a database can be asked for."""
COLUMNS = (
    "seq", "at", "action", "who", "key_id", "department", "of", "request_id", "job_id", "owner_hash", "consent_reference", "state",
    "error_type",
)  # fmt: skip
"""Columns of the CSV; whatever else an entry says stands in a last one, `more`, as JSON: a stream cannot look ahead for names."""
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula."""
MEDIA = {"csv": "text/csv; charset=utf-8", "jsonl": "application/x-ndjson"}


class AuditPage(BaseModel):
    """Entries, the newest first. `next_before` is the `before` of the next page; null: there is none."""

    entries: list[dict[str, Any]]
    next_before: int | None


class AuditFault(BaseModel):
    """Where the trail does not hold: the number of the entry, and what is wrong with it."""

    seq: int
    what: str


class AuditVerdict(BaseModel):
    """What a look at the whole trail found. `head`: number and hash of the last entry, to be kept elsewhere."""

    holds: bool
    entries: int
    erased: int
    head: tuple[int, str]
    first_fault: AuditFault | None
    faults: list[AuditFault]


class Asked(BaseModel):
    """Which entries. Times: ISO 8601, UTC where they name no zone."""

    model_config = ConfigDict(extra="forbid")

    department: str | None = None
    owner: str | None = None
    who: str | None = None
    action: Action | None = None
    request_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None


_trail: Trail | None = None
_redactor: Redactor | None = None


def install(trail: Trail, redactor: Redactor) -> None:
    """Sets what the routes of this process read; `redactor` makes the hash of an owner's name."""
    global _trail, _redactor
    _trail, _redactor = trail, redactor


def auditor(request: Request) -> None:
    """Raises RequestError(forbidden) for whoever may not read the trail. On an open door whoever sits at the machine may."""
    caller = caller_of(request)
    if caller is not None and not caller.may("audit"):
        raise RequestError(
            "forbidden", f"{caller.key_id} is a {caller.role}'s: it may not read the audit trail.", hint="Ask an auditor."
        )


router = APIRouter(prefix="/audit", dependencies=[Depends(auditor)])


@router.get("")
async def audit(
    asked: Annotated[Asked, Depends()],
    before: Annotated[int | None, Query(ge=1, le=LARGEST_SEQ)] = None,
    limit: Annotated[int, Query(ge=1, le=LARGEST_PAGE)] = PAGE,
) -> AuditPage:
    """Who asked for what, the newest first. `owner`: whose request it is about; `who`: who did it."""

    def read() -> list[dict[str, Any]]:
        return list(islice(_there().entries(**_conditions(asked), before=before, newest_first=True), limit + 1))

    found = await asyncio.to_thread(read)
    return AuditPage(entries=found[:limit], next_before=found[limit - 1]["seq"] if len(found) > limit else None)


@router.get("/export", response_class=StreamingResponse)
async def export(
    request: Request, asked: Annotated[Asked, Depends()], format: Literal["csv", "jsonl"] = "csv"
) -> StreamingResponse:
    """All of the chosen entries, oldest first, as a file that is written while it is read. It leaves an entry itself."""
    caller, trail = caller_of(request), _there()
    by = {"who": caller.name, "key_id": caller.key_id, "of": caller.department} if caller is not None else {}
    chosen = asked.model_dump(mode="json", exclude_none=True)
    chosen.pop("owner", None)  # a name that somebody asked to have erased must not stay here
    await asyncio.to_thread(trail.note, "export", {**by, "format": format, "chosen": chosen or None})
    entries = trail.entries(**_conditions(asked))
    lines = csv_lines(entries) if format == "csv" else (json.dumps(one, ensure_ascii=False) + "\n" for one in entries)
    headers = {"Content-Disposition": f'attachment; filename="audit.{format}"'}
    return StreamingResponse(lines, media_type=MEDIA[format], headers=headers)


@router.get("/verify")
async def verify() -> AuditVerdict:
    """Looks at every entry, and says at which one the chain does not hold."""
    told = await asyncio.to_thread(_there().verify)
    faults = [AuditFault(seq=one.seq, what=one.what) for one in told.faults]
    return AuditVerdict(
        holds=not faults,
        entries=told.entries,
        erased=told.erased,
        head=told.head,
        first_fault=next(iter(faults), None),
        faults=faults,
    )


def csv_lines(entries: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """The lines of a CSV, the names first; a text that a spreadsheet would compute begins with an apostrophe."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)

    def line(cells: Iterable[Any]) -> str:
        writer.writerow([harmless(one) for one in cells])
        text = buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()
        return text

    yield line((*COLUMNS, "more"))
    for entry in entries:
        more = {name: value for name, value in entry.items() if name not in COLUMNS}
        told = {**entry, "at": datetime.fromtimestamp(entry["at"], UTC).isoformat()}
        yield line([*(told.get(name) for name in COLUMNS), json.dumps(more, ensure_ascii=False) if more else None])


def harmless(cell: Any) -> Any:
    """The cell; a text that begins as a formula does has an apostrophe before it."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA) else cell


def _there() -> Trail:
    assert _trail is not None, "install() comes first"
    return _trail


def _conditions(asked: Asked) -> dict[str, Any]:
    assert _redactor is not None, "install() comes first"
    times = {name: None if (given := getattr(asked, name)) is None else _seconds(given) for name in ("since", "until")}
    owner_hash = None if asked.owner is None else _redactor.hash(asked.owner)
    names = ("department", "who", "action", "request_id")
    return {"owner_hash": owner_hash, **times, **{name: getattr(asked, name) for name in names}}


def _seconds(given: datetime) -> float:
    return (given if given.tzinfo else given.replace(tzinfo=UTC)).timestamp()
