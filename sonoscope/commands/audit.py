"""`sonoscope audit`: who asked for what, from the database of the jobs; the proof that nothing was changed; erasure."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
from rich.table import Table

from deployments.artifacts import artifacts_at
from serve.audit import Trail
from serve.jobs import JobTable
from sonoscope.commands.common import err, fail, out, print_json, settings
from sonoscope.commands.keys import seconds
from telemetry.errors import RequestError
from telemetry.redact import Redactor

SHOWN = 50


def show(
    *, department: str | None, owner: str | None, request: str | None, since: str | None, until: str | None,
    target: Path | None, data_dir: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Prints entries, or writes them to `target` (CSV, Parquet or JSON Lines)."""
    configured = settings(data_dir=data_dir)
    owner_hash = None if owner is None else Redactor.from_file(configured.data_dir / "redact.key").hash(owner)
    from_s, until_s = (None if text is None else _moment(text, f"--{name}") for name, text in (("since", since), ("until", until)))
    found = Trail(configured.jobs_url).entries(
        department=department, owner_hash=owner_hash, request_id=request, since=from_s, until=until_s
    )
    if target is not None:
        _export(target, list(found))
    elif as_json:
        print_json(list(found))
    else:
        _table(list(found))


def verify(*, data_dir: Path | None, as_json: bool) -> None:
    """Looks at every entry; ends with 1 where one does not hold."""
    told = Trail(settings(data_dir=data_dir).jobs_url).verify()
    if as_json:
        faults = [{"seq": fault.seq, "what": fault.what} for fault in told.faults]
        print_json({"entries": told.entries, "erased": told.erased, "head": list(told.head), "faults": faults})
    else:
        for fault in told.faults:
            out.print(f"[red]entry {fault.seq}[/red]: {fault.what}", soft_wrap=True)
        out.print(
            f"{told.entries} entries, {told.erased} of them erased; the last is {told.head[0]}, its hash {told.head[1]}",
            soft_wrap=True,
        )
    if told.faults:
        fail(
            f"the trail does not hold at {len(told.faults)} places",
            "Compare with a copy; the hash above is what to keep elsewhere.",
        )


def erase(why: str, *, owner: str | None, request: str | None, older_than: str | None, data_dir: Path | None) -> None:
    """Deletes what entries say of a person, a request, or a time long ago, and the videos and jobs that they are about."""
    if [owner, request, older_than].count(None) != 2:
        fail("say exactly one of --owner, --request, --older-than")
    configured = settings(data_dir=data_dir)
    before = None if older_than is None else datetime.now(UTC).timestamp() - seconds(older_than, "--older-than")
    owner_hash = None if owner is None else Redactor.from_file(configured.data_dir / "redact.key").hash(owner)
    ids = [] if request is None else [request]
    count, about = Trail(configured.jobs_url).erase(why, owner_hash=owner_hash, request_ids=ids, before=before)
    if older_than is None:  # results have a time of their own (results_keep_s)
        table, store = JobTable(configured.jobs_url), artifacts_at(configured.place)
        for id in about:
            try:
                store.remove_result(id)
            except RequestError as error:
                fail(f"{error.message} The entries are erased, the video {id} is not.", "Say it again once the store answers.")
            if (row := table.get(id)) is not None:
                table.remove(row)
    out.print(f"{count} entries erased, about {len(about)} requests; the chain holds: sonoscope audit verify")


def _export(target: Path, entries: list[dict[str, Any]]) -> None:
    frame = pd.DataFrame(entries)
    for name in frame.columns:  # settings and lists: as JSON, which every format takes
        nested = [isinstance(one, dict | list) for one in frame[name]]
        if any(nested):
            frame[name] = [
                json.dumps(one, ensure_ascii=False) if inside else one for one, inside in zip(frame[name], nested, strict=True)
            ]
    writers = {".csv": lambda: frame.to_csv(target, index=False), ".parquet": lambda: frame.to_parquet(target, index=False),
               ".jsonl": lambda: frame.to_json(target, orient="records", lines=True, force_ascii=False)}  # fmt: skip
    if target.suffix not in writers:
        fail(f"{target.name}: the format is not known", f"End the name with {', '.join(writers)}.")
    writers[target.suffix]()
    err.print(f"{len(frame)} entries in {target}")


def _table(entries: list[dict[str, Any]]) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for title in ("no", "when", "what", "who", "department", "request", ""):
        table.add_column(title)
    for entry in entries[-SHOWN:]:
        when = datetime.fromtimestamp(entry["at"], UTC).isoformat(" ", "seconds")
        more = entry.get("error_type") or entry.get("state") or entry.get("consent_reference") or entry.get("why") or ""
        named = [entry.get(name) or "" for name in ("who", "department", "request_id")]
        table.add_row(str(entry["seq"]), when, entry["action"], *named, more)
    out.print(table if entries else "There are no such entries.")
    if len(entries) > SHOWN:
        err.print(f"[dim]the last {SHOWN} of {len(entries)}; --out FILE writes all[/dim]")


def _moment(text: str, option: str) -> float:
    with contextlib.suppress(ValueError):
        given = datetime.fromisoformat(text)
        return (given if given.tzinfo else given.replace(tzinfo=UTC)).timestamp()
    fail(f"{option} {text} is no time", "Say 2026-11-26 or 2026-11-26T08:00Z.")
