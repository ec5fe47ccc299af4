"""`sonoscope record`: the joined record, as a waterfall or as JSON."""

from __future__ import annotations

from pathlib import Path

from analytics.record import Record, load
from analytics.stores.local import LocalStore
from sonoscope.commands.common import errors, fail, out, print_json, settings
from sonoscope.show import show_record
from telemetry.errors import RequestError


def record(id: str, *, data_dir: Path | None, as_json: bool) -> None:
    """Prints the record of a request, or of a video by the id that it carries."""
    with errors(as_json):
        found = find(id, settings(data_dir=data_dir).journal_dir)
    if as_json:
        print_json(found.as_dict())
    else:
        show_record(found, out)


def find(id: str, journal_dir: Path) -> Record:
    """The record of an id or of a video file. Ends the command where there is none."""
    path = Path(id)
    if path.is_file():
        id = _id_in(path) or path.stem
    found = load(LocalStore(journal_dir), id)
    if found is None:
        fail(f"there is no record of {id}", f"The journal in {journal_dir} was searched; --data-dir names another folder.")
    return found


def _id_in(path: Path) -> str | None:
    """The request id in the metadata of a video, or None where it has none."""
    try:
        from deployments.media.probe import probe
    except ModuleNotFoundError as error:
        fail(f"{error.name} is needed to read a video", "pip install 'sonoscope[serve]', or give the request id.")
    try:
        comment = probe(path).metadata.get("comment", "")
    except RequestError as error:
        fail(f"{path.name} cannot be read as a video: {error.message}")
    return comment.removeprefix("request_id=") or None
