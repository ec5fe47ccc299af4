"""Requests by a filter, for programs: what `sonoscope query --json` prints, as rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from analytics.moments import moment
from analytics.stores.base import Range
from sonoscope.commands.query import opened, parsed, plain


def find_requests(
    expression: str,
    *,
    since: str | None = None,
    until: str | None = None,
    limit: int | None = None,
    file: Path | None = None,
    data_dir: Path | None = None,
) -> list[dict[str, Any]]:
    """The requests that pass a filter (docs/query.md), newest first, one dictionary a request.

    They are read from the stores that the settings of this machine name (a data folder, Tempo and Elasticsearch), or from `file`
    (Parquet or CSV of request rows): the service itself has no route for it. Raises analytics.filters.FilterError for a filter
    that cannot be read, OSError or ValueError for telemetry that cannot.
    """
    range = Range(*(None if text is None else moment(text) for text in (since, until)))
    where = parsed(expression, range, file, data_dir)
    with opened(range, file, data_dir, where) as view:
        return plain(view.load(where, limit).table)
