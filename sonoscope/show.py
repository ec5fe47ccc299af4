"""A record in the terminal: parameters, the waterfall of spans with the events between them, outcomes."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from analytics.record import Record
from analytics.stores.local import Span, event_ns
from telemetry import fields

BAR = 40
"""Columns of the widest bar; the names beside it take about as much."""
_COLOURS = {"ok": "green", "error": "red", "unset": "cyan"}


def show_record(record: Record, console: Console) -> None:
    """Prints the record; a request that still runs says so."""
    if not record.finished:
        console.print("[yellow]This request has not ended yet.[/yellow]")
    request = record.request
    if request:
        colour = {"ok": "green", "error": "red"}.get(request["status"], "yellow")
        console.print(f"[bold]{request['operation']}[/bold] {request['request_id']}  [{colour}]{request['status']}[/{colour}]")
        if "error_type" in request:
            console.print(f"[red]{request['error_type']}[/red] in {request.get('failed_stage')}: {request.get('error_message')}")
    console.print(_pairs("Parameters", record.part("parameter")))
    console.print(_waterfall(record))
    stage_fields = {f"{stage}{suffix}" for stage in fields.STAGES for suffix in ("_ms", "_busy_ms")}
    outcomes = {name: value for name, value in record.part("outcome").items() if name not in stage_fields}
    console.print(_pairs("Outcomes", outcomes))
    console.print(_pairs("Identity", record.part("identity")))


def _pairs(title: str, values: dict[str, Any]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", show_header=False, box=None, padding=(0, 2, 0, 0))
    items = [(name, _shown(value), fields.BY_NAME[name].unit) for name, value in values.items()]
    half = (len(items) + 1) // 2
    for left, right in zip(items[:half], [*items[half:], ("", "", "")], strict=False):
        row: list[str | Text] = []
        for name, value, unit in (left, right):
            row += [Text(name, style="dim"), f"{value} {unit}".strip()]
        table.add_row(*row)
    return table


def _waterfall(record: Record) -> Table:
    """Spans and events in the order of time; a span's bar spans its share of the whole."""
    table = Table(title="What happened", title_justify="left", title_style="bold", box=None, padding=(0, 1, 0, 0))
    table.add_column("", no_wrap=True, min_width=24)
    table.add_column("start ms", justify="right", no_wrap=True, min_width=8)
    table.add_column("ms", justify="right", no_wrap=True, min_width=7)
    table.add_column("", no_wrap=True, overflow="crop")
    starts = [span.start_ns for span in record.spans] + [event_ns(event) for event in record.events]
    ends = [span.end_ns for span in record.spans] + starts
    if not starts:
        return table
    origin, length = min(starts), max(max(ends) - min(starts), 1)
    depth = _depths(record.spans)
    rows: list[tuple[int, int, list[str | Text]]] = []
    for span in record.spans:
        name = Text("  " * depth[span.span_id] + span.name, style=_COLOURS[span.status])
        bar = _bar(span.start_ns - origin, span.end_ns - span.start_ns, length, _COLOURS[span.status])
        rows.append((span.start_ns, 0, [name, _ms(span.start_ns - origin), _ms(span.end_ns - span.start_ns), bar]))
    for event in record.events:
        at = event_ns(event) - origin
        name = Text("  · " + event["event_type"], style="dim")
        note = Text(" " * min(BAR - 1, at * BAR // length) + "·" + _note(event), style="dim")
        rows.append((at + origin, 1, [name, Text(_ms(at), style="dim"), "", note]))
    for _, _, cells in sorted(rows, key=lambda row: row[:2]):
        table.add_row(*cells)
    return table


def _depths(spans: list[Span]) -> dict[str, int]:
    parents = {span.span_id: span.parent_id for span in spans}

    def depth(span_id: str) -> int:
        parent = parents[span_id]
        return 0 if parent not in parents else 1 + depth(parent)

    return {span.span_id: depth(span.span_id) for span in spans}


def _bar(start: int, duration: int, length: int, colour: str) -> Text:
    left = start * BAR // length
    return Text(" " * left + "━" * max(1, round(duration * BAR / length)), style=colour)


def _note(event: dict[str, Any]) -> str:
    for name in ("input", "advice_code", "error_type"):
        if name in event:
            return f" {event[name]}"
    return ""


def _ms(ns: int) -> str:
    return f"{ns / 1e6:.1f}"


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:.1f}"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return str(value)
