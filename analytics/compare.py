"""Which videos stand beside each other: of one input, the newest for each setting."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from analytics.filters import Filter
from analytics.filters.sql import quoted
from analytics.requests import Joined

_INPUT = "left(portrait_hash, 8) || '/' || left(audio_hash, 8)"


def inputs(view: Joined, where: Filter | None = None) -> pa.Table:
    """`input` (the beginnings of portrait_hash and audio_hash) and `count` of the videos made of it, the most frequent first."""
    view.choose(("portrait_hash", "audio_hash", "status"), where)
    query = f"SELECT {_INPUT} AS input, count(*) AS count FROM chosen WHERE status = 'ok' AND input IS NOT NULL"
    return view.rows(f"{query} GROUP BY input ORDER BY count DESC, input LIMIT 200")


def newest(view: Joined, where: Filter | None, input: str, by: Sequence[str], outcomes: Sequence[str], limit: int) -> pa.Table:
    """For each combination of the columns `by` the newest video of an input: request_id, these columns and the outcomes.

    In the order of `by`, at most `limit` rows. Raises duckdb.Error for a column that does not exist.
    """
    columns = list(dict.fromkeys(("request_id", *by, *outcomes)))
    view.choose([*dict.fromkeys((*columns, "portrait_hash", "audio_hash", "status", "started_at"))], where)
    keys = ", ".join(quoted(name) for name in by)
    names = ", ".join(quoted(name) for name in columns)
    query = f"""SELECT {names} FROM (SELECT DISTINCT ON ({keys}) * FROM chosen WHERE status = 'ok' AND {_INPUT} = $input
                ORDER BY {keys}, started_at DESC) ORDER BY {keys} LIMIT $most"""
    return view.rows(query, {"input": input, "most": limit})
