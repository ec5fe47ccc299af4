"""A batch from its source to its end: a manifest's rows once, or a folder's lessons as they arrive."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from sonoscope.batch.items import Item, read_lessons, stamp
from sonoscope.batch.work import Stopped, Tally, Worker

LOOK_S = 2.0
"""Seconds between two looks at a folder; a file that did not change between two of them is whole."""


def run(worker: Worker, items: Iterable[Item], at_once: int, on_end: Callable[[Tally], None]) -> Tally:
    """Makes every item, `at_once` at a time, and calls `on_end` after each. A stop leaves what is not handed in yet."""

    def ended(future: Future[object]) -> None:
        if future.cancelled():
            return
        if (error := future.exception()) is not None and not isinstance(error, Stopped):
            worker.stop.set()
        on_end(worker.tally)

    futures: list[Future[object]] = []
    with ThreadPoolExecutor(at_once, "batch") as pool:
        try:
            for item in items:
                futures.append(pool.submit(worker.make, item))
                futures[-1].add_done_callback(ended)
            for future in futures:
                _outcome(future)
        finally:
            # Left normally, all are done; by Ctrl-C or an error, nothing new is handed in.
            worker.stop.set()
            pool.shutdown(cancel_futures=True)
    return worker.tally


def _outcome(future: Future[object]) -> None:
    try:
        future.result()
    except Stopped:
        return


def arriving(folder: Path, stop: Callable[[], bool], look_s: float = LOOK_S) -> Iterator[Item]:
    """The lessons of a folder as they arrive, each once, and once more when its files have changed. Ends when `stop()` says so."""
    seen: dict[str, tuple[int, ...]] = {}
    given: dict[str, tuple[int, ...]] = {}
    while not stop():
        for item in read_lessons(folder):
            try:
                now = stamp(item)
            except FileNotFoundError:
                continue
            if seen.get(item.name) == now and given.get(item.name) != now:
                given[item.name] = now
                yield item
            seen[item.name] = now
        time.sleep(look_s)


def write_failed(tally: Tally, path: Path) -> None:
    """The rows that failed, as a manifest with the reasons, to be corrected and run again; no file where none failed."""
    path.unlink(missing_ok=True)
    if not tally.failures:
        return
    rows = [
        {**item.row, "name": item.name, "portrait": str(item.portrait.resolve()), "audio": str(item.audio.resolve()),
         "error_type": entry.error_type, "message": entry.message}
        for item, entry in sorted(tally.failures, key=lambda one: one[0].name)
    ]  # fmt: skip
    with path.open("w", encoding="utf-8", newline="") as file:
        if path.suffix == ".csv":
            columns = dict.fromkeys(name for row in rows for name in row)
            writer = csv.DictWriter(file, list(columns))
            writer.writeheader()
            writer.writerows(rows)
        else:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
