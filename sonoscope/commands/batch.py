"""`sonoscope batch`: a manifest or a folder of lessons becomes videos."""

from __future__ import annotations

import signal
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from sonoscope.batch.items import BadManifest, Item, read_lessons, read_manifest
from sonoscope.batch.ledger import Ledger
from sonoscope.batch.run import arriving, run, write_failed
from sonoscope.batch.work import Tally, Worker
from sonoscope.client import Client
from sonoscope.commands.common import err, errors, fail, out, print_json, service_url


@dataclass(frozen=True)
class How:
    """The ways in which a batch is run."""

    target: Path | None
    watch: bool
    at_once: int
    retries: int
    priority: str


def batch(source: Path, how: How, *, url: str | None, data_dir: Path | None, as_json: bool) -> None:
    """Makes the videos of a manifest or a folder; exit status 1 where some failed."""
    folder = source.is_dir()
    # As Ctrl-C: whatever ends it, the count is printed and the failed rows are written.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if how.watch and not folder:
        fail("--watch waits for files in a folder, and this is a manifest", "Name a folder of lessons.")
    target = how.target or (source / "videos" if folder else source.with_name(f"{source.stem}-videos"))
    failed = target / ("failed.csv" if folder or source.suffix.lower() == ".csv" else "failed.jsonl")
    with errors(as_json), Client(service_url(url, data_dir), retries=0) as client:
        worker = Worker(client, target, Ledger(target), prefix=source.name, priority=how.priority, retries=how.retries)
        items = _items(source)
        wanted = arriving(source, worker.stop.is_set) if how.watch else items
        tally = _run(worker, wanted, None if how.watch else len(items), how, failed)
    if as_json:
        print_json(_summary(tally, target, failed))
    else:
        _say(tally, target, failed)
    if tally.failed:
        raise typer.Exit(1)


def _items(source: Path) -> list[Item]:
    try:
        return read_lessons(source) if source.is_dir() else read_manifest(source)
    except BadManifest as error:
        fail(str(error), "Correct that line; nothing was handed in.")
    except (OSError, UnicodeDecodeError) as error:
        fail(f"{source.name} cannot be read: {error}", "Give a UTF-8 CSV or JSON Lines file, or a folder.")


def _run(worker: Worker, items: Iterable[Item], total: int | None, how: How, failed: Path) -> Tally:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TextColumn("{task.fields[rate]}"), console=err, transient=True) as progress:
        task = progress.add_task("videos", total=total, rate="")

        def show(tally: Tally) -> None:
            ended = tally.done + tally.before + tally.failed
            rate = "" if tally.success_rate is None else f"{tally.success_rate:.1%} made, {tally.failed} failed"
            progress.update(task, completed=ended, rate=rate)
            if how.watch:
                write_failed(tally, failed)

        try:
            return run(worker, items, how.at_once, show)
        except KeyboardInterrupt:
            return worker.tally
        finally:
            write_failed(worker.tally, failed)


def _summary(tally: Tally, target: Path, failed: Path) -> dict[str, Any]:
    rate = tally.success_rate
    return {
        "made": tally.done, "made_before": tally.before, "failed": tally.failed, "retried": tally.retried,
        "success_rate": rate, "errors": tally.errors, "videos": str(target), "failed_rows": str(failed) if tally.failed else None,
    }  # fmt: skip


def _say(tally: Tally, target: Path, failed: Path) -> None:
    rate = "nothing ended" if tally.success_rate is None else f"{tally.success_rate:.1%}"
    before = f", {tally.before} made before" if tally.before else ""
    again = f", {tally.retried} retries" if tally.retried else ""
    out.print(f"{tally.done} made{before}, {tally.failed} failed{again}: {rate} -> {target}", soft_wrap=True)
    for kind, count in sorted(tally.errors.items(), key=lambda one: -one[1]):
        out.print(f"  {count} x {kind}")
    if tally.failed:
        out.print(f"Failed rows, with reasons, to correct and run again: {failed}", soft_wrap=True)
