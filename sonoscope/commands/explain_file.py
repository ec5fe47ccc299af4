"""`sonoscope explain VIDEO`: what is wrong with a file, how many are like it, what they share, and how to confirm it."""

from __future__ import annotations

import re
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from analytics.questions.complaint import Complaint, complaint
from analytics.questions.schema import Schema
from analytics.record import load
from analytics.stores.base import Range
from analytics.stores.local import event_ns
from sonoscope.commands.common import err, errors, fail, out, print_json, settings
from sonoscope.commands.query import Bounds, opened
from sonoscope.commands.stores import store_of
from telemetry.values import rfc3339

if TYPE_CHECKING:
    from deployments.media.probe import MediaFacts

_ID = re.compile("request_id=([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")
WINDOW_NS = 3600 * 1_000_000_000
"""How long before and after a request others are looked at, where nothing else is asked: an incident is told by its hour."""


def explain_file(
    path: Path, bounds: Bounds, *, among: str | None, file: Path | None, data_dir: Path | None, show_queries: bool, as_json: bool,
    department: str | None = None,
) -> None:  # fmt: skip
    """Prints what can be said of the video at `path`, from one department's requests or from all.

    Ends the command with 1 where it or the telemetry cannot be read."""
    if among is not None:
        fail("--among is for a filter: a video is compared with every request of its time", "Leave it out, or narrow with --since.")
    with errors(as_json):
        facts, request_id, started_ns = _known(path, data_dir, file, department)
    range = bounds.range() if bounds.since or bounds.until else _around(started_ns, file)
    try:
        with (
            err.status("comparing with the requests of that time"),
            opened(range, file, data_dir, None, department=department) as view,
        ):
            found = view.load()
        mapping = None if file else store_of(settings(data_dir=data_dir)).mapping
        facts["window"] = _window(range, found.frame)
        made = complaint(found.frame, facts, request_id, Schema.of(found.frame, mapping), truncated=found.truncated)
    except (duckdb.Error, OSError, ValueError) as error:
        fail(f"the telemetry cannot be read: {error}")
    if as_json:
        print_json({"file": path.name, "record": request_id is not None, **made.to_dict(), "coverage": found.coverage.as_dict()})
        return
    _show(made, show_queries)
    err.print(f"[dim]{found.coverage.sentence()}[/dim]", soft_wrap=True)


def _show(made: Complaint, show_queries: bool) -> None:
    first, *rest = made.sentences()
    out.print(f"[bold]{first}[/bold]", soft_wrap=True)
    for line in rest:
        out.print(line, soft_wrap=True, markup=False)
    if made.request_id is not None:
        out.print(f"sonoscope record {made.request_id}", style="dim", soft_wrap=True)
    for query in made.queries if show_queries else ():
        out.print(
            f"\n-- {query.says}: {', '.join(map(str, query.result))}\n{query.sql};", soft_wrap=True, markup=False, style="dim"
        )
    if show_queries and made.facts.get("window"):
        since, until = made.facts["window"]
        out.print(f"\n-- `requests`: sonoscope query '{{}}' --since {since} --until {until} -o requests.parquet", style="dim")


def _known(
    path: Path, data_dir: Path | None, rows: Path | None, department: str | None
) -> tuple[dict[str, Any], str | None, int | None]:
    """Outcomes of a file, its request and when that started: from its record, else measured on the file alone."""
    try:
        from deployments.media.probe import probe
    except ModuleNotFoundError as error:
        fail(f"{error.name} is needed to read a video", "pip install 'sonoscope[serve]', or explain a filter.")
    media = probe(path)
    facts: dict[str, Any] = {"audio_start_s": media.audio_start_s - media.video_start_s}
    request_id = _id_of(media.metadata.get("comment", ""))
    if rows is not None:
        own, started_ns = _in_file(rows, request_id, department), None
    else:
        own, started_ns = _recorded(request_id, data_dir, department)
    if own:
        return {**facts, **own}, str(own["request_id"]), started_ns
    return {**facts, **_measured(path, media)}, None, None


def _id_of(comment: str) -> str | None:
    """The request id in a comment; a stranger's comment may hold anything."""
    found = _ID.fullmatch(comment)
    return found[1] if found else None


def _recorded(request_id: str | None, data_dir: Path | None, department: str | None) -> tuple[dict[str, Any], int | None]:
    if request_id is None:
        return {}, None
    try:
        found = load(store_of(settings(data_dir=data_dir)), request_id, department=department)
    except OSError as error:
        fail(f"the telemetry cannot be read: {error}")
    if found is None or not found.request:
        return {}, None
    return found.request, event_ns(found.events[0])


def _in_file(rows: Path, request_id: str | None, department: str | None) -> dict[str, Any]:
    from analytics.requests import from_file

    if request_id is None:
        return {}
    with from_file(rows, department=department) as view:
        found = view.rows("SELECT * FROM requests WHERE request_id = $id", {"id": request_id}).to_pylist()
    return {name: value for name, value in found[0].items() if not isinstance(value, datetime)} if found else {}


def _measured(path: Path, media: MediaFacts) -> dict[str, Any]:
    """From the file alone; the rate that was asked for is not in it."""
    from sonoscope.commands.measure import measured_with_bar

    found = measured_with_bar(path).fields()
    return {name: value for name, value in found.items() if name != "fps"} | {"video_fps": media.fps}


def _around(started_ns: int | None, rows: Path | None) -> Range:
    """The hour before a request and the hour after it; of somebody else's file the past hour; of a file of rows all of them."""
    if rows is not None:
        return Range()
    now = time.time_ns()
    return Range(now - WINDOW_NS, now) if started_ns is None else Range(started_ns - WINDOW_NS, min(now, started_ns + WINDOW_NS))


def _window(range: Range, frame: Any) -> tuple[str, str] | None:
    """Its bounds in words, to the second."""
    bounds = [range.since, range.until]
    if None in bounds and len(frame) and frame["started_at"].notna().any():
        bounds = [int(frame["started_at"].min().value), int(frame["started_at"].max().value)]
    if None in bounds:
        return None
    since, until = (rfc3339(int(bound or 0) // 1_000_000_000 * 1_000_000_000).replace(".000000000", "") for bound in bounds)
    return since, until
