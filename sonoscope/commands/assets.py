"""`sonoscope assets`: uploads by the name of their file, from the catalogue of this machine."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from rich.table import Table

from serve.jobs import JobTable
from sonoscope.commands.common import fail, out, print_json, settings
from telemetry.names import read_synonyms


def assets(name: str, *, data_dir: Path | None, as_json: bool) -> None:
    """Prints the uploads that `name` finds, newest first."""
    configured = settings(data_dir=data_dir)
    if not (configured.data_dir / "jobs.db").exists():
        fail(f"there is no catalogue in {configured.data_dir}", "Name the data folder with --data-dir.")
    synonyms = read_synonyms(configured.synonyms_file) if configured.synonyms_file else None
    found = JobTable(configured.jobs_url).find_assets(name, synonyms)
    if as_json:
        print_json([{key: row[key] for key in ("asset_id", "name", "bytes", "created")} for row in found])
        return
    table = Table(box=None, padding=(0, 2, 0, 0))
    for title in ("name", "bytes", "uploaded", "asset id"):
        table.add_column(title)
    for row in found:
        uploaded = datetime.fromtimestamp(row["created"], UTC).isoformat(" ", "seconds")
        table.add_row(row["name"], str(row["bytes"]), uploaded, row["asset_id"])
    out.print(table if found else f"No upload has a name like {name}.")
