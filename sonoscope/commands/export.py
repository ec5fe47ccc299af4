"""`sonoscope export`: hard cases with their media and records, as a folder or a zip, for labelling and retraining."""

from __future__ import annotations

import json
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb

from analytics.filters import FilterError
from analytics.hard_cases import HardCase, hard_cases
from analytics.record import load
from analytics.requests import joined
from analytics.stores.configured import RemoteStore
from analytics.stores.local import LocalStore
from deployments.artifacts import artifacts_at, asset_name, video_name
from serve.settings import Settings
from sonoscope.commands.common import err, fail, out, print_json, settings
from sonoscope.commands.query import Bounds, parsed
from sonoscope.commands.stores import store_of
from telemetry.errors import RequestError

_ASSETS = ("portrait_hash", "audio_hash", "image_hash")


def export(target: Path, bounds: Bounds, *, expression: str | None, limit: int, data_dir: Path | None, as_json: bool) -> None:
    """Writes `manifest.jsonl` (a line a case: why, its row, its files), `media/` and `records/` into a new folder or zip."""
    configured = settings(data_dir=data_dir)
    if target.exists():
        fail(f"{target} is there already", "Name a folder or a .zip that does not exist yet.")
    store = store_of(configured)
    try:
        where = parsed(expression, bounds.range(), None, data_dir) if expression else None
        with joined(store, bounds.range()) as view:
            cases = hard_cases(view, where, limit)
    except FilterError as error:
        fail(error.message, str(error).partition("\n")[2])
    except (duckdb.Error, OSError, ValueError) as error:
        fail(f"the telemetry cannot be read: {error}")
    try:
        numbers = _write(target, cases, store, configured)
    except OSError as error:
        fail(f"{target} cannot be written: {error.strerror or error}")
    except RequestError as error:
        fail(error.message, error.hint)
    if as_json:
        print_json({"target": str(target), **numbers})
        return
    out.print(f"{target}: {numbers['cases']} cases, {numbers['files']} files, {numbers['missing']} files missing", soft_wrap=True)
    for reason, count in numbers["reasons"].items():
        out.print(f"  {reason}: {count}")


def _write(target: Path, cases: list[HardCase], store: LocalStore | RemoteStore, configured: Settings) -> dict[str, Any]:
    """Beside the target first, so that it appears whole or not at all; a file that several cases share is there once."""
    numbers: dict[str, Any] = {"cases": len(cases), "files": 0, "missing": 0, "reasons": {}}
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as scratch, err.status("Gathering…"):
        folder = Path(scratch) / "export"
        for name in ("media", "records"):
            (folder / name).mkdir(parents=True)
        with (folder / "manifest.jsonl").open("w", encoding="utf-8") as manifest:
            for case in cases:
                manifest.write(json.dumps(_entry(folder, case, store, configured, numbers), ensure_ascii=False, default=str) + "\n")
        numbers["files"] = sum(1 for _ in (folder / "media").iterdir())
        if target.suffix == ".zip":
            _zip(folder, Path(scratch) / "export.zip").replace(target)
        else:
            folder.replace(target)
    return numbers


def _entry(
    folder: Path, case: HardCase, store: LocalStore | RemoteStore, configured: Settings, numbers: dict[str, Any]
) -> dict[str, Any]:
    id = case.row["request_id"]
    files: dict[str, str] = {}
    missing: list[str] = []
    for name, artifact in _media(case.row):
        kept = folder / "media" / artifact.rpartition("/")[2]
        try:
            if not kept.exists():
                with artifacts_at(configured.place).held(artifact) as path:
                    shutil.copyfile(path, kept)
            files[name] = f"media/{kept.name}"
        except FileNotFoundError:
            missing.append(name)
    numbers["missing"] += len(missing)
    for reason in case.reasons:
        numbers["reasons"][reason] = numbers["reasons"].get(reason, 0) + 1
    found = load(store, id)
    record = None if found is None else f"records/{id}.json"
    if found is not None:
        (folder / f"records/{id}.json").write_text(json.dumps(found.as_dict(), ensure_ascii=False, indent=1, default=str), "utf-8")
    return {"request_id": id, "reasons": list(case.reasons), "files": files, "missing": missing, "record": record, "row": case.row}


def _media(row: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What a file is, and its artifact."""
    for name in _ASSETS:
        if row.get(name):
            yield name.removesuffix("_hash"), asset_name(row[name])
    if row.get("operation") == "generate" and row.get("status") == "ok":
        yield "video", video_name(row["request_id"])


def _zip(folder: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as made:  # media are compressed already
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                made.write(file, file.relative_to(folder))
    return path
