"""What was recognised: the mix of labels, how sure of them, and which folders fail when."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from analytics.filters import Filter
from analytics.requests import Joined

LABELS = 20
"""Labels that are told apart; a longer list is a table to export, not a picture."""
FOLDERS = 30
"""Folders of the heat map: those with the most failures, then with the most pictures."""
HOUR_NS = 3_600 * 10**9
_COLUMNS = ("operation", "started_at", "status", "top1_label", "top1_score", "low_confidence", "source_prefix", "error_type")
_RECOGNISED = "operation = 'recognize'"
_KNOWN = f"{_RECOGNISED} AND top1_score IS NOT NULL"


@dataclass(frozen=True)
class Recognised:
    """Counts of the recognition requests, and the tables behind the pictures."""

    pictures: int
    failed: int
    low_confidence: int
    sure: float | None
    """Median of top1_score; None where nothing was recognised."""
    labels: pa.Table
    """label, count, low_confidence: the LABELS most frequent, portraits among them."""
    other_labels: int
    """Labels beyond those."""
    scores: pa.Table
    """from, count: top1_score in bins of 0.05."""
    folders: pa.Table
    """folder, hour, pictures, failed, share (failed of the pictures), low_confidence."""
    other_folders: int
    """Folders beyond those of the heat map."""

    @property
    def low_share(self) -> float | None:
        """Share of what was recognised that no label was sure enough for."""
        known = self.pictures - self.failed
        return self.low_confidence / known if known else None


def recognised(view: Joined, where: Filter | None = None) -> Recognised:
    """The recognition requests that pass a filter."""
    view.choose(_COLUMNS, where)
    pictures, failed, low, sure, labels, folders = view.one_row(
        f"""SELECT count(*), count(*) FILTER (status != 'ok'), count(*) FILTER (low_confidence), median(top1_score),
                   count(DISTINCT top1_label), count(DISTINCT coalesce(source_prefix, '')) FROM chosen WHERE {_RECOGNISED}""",
        {},
    )
    return Recognised(
        pictures=pictures,
        failed=failed,
        low_confidence=low,
        sure=sure,
        labels=view.rows(
            f"""SELECT top1_label AS label, count(*) AS count, count(*) FILTER (low_confidence) AS low_confidence
                FROM chosen WHERE {_KNOWN} GROUP BY label ORDER BY count DESC, label LIMIT {LABELS}"""
        ),
        other_labels=max(0, labels - LABELS),
        scores=view.rows(
            f"""SELECT least(floor(top1_score * 20), 19) / 20 AS "from", count(*) AS count
                FROM chosen WHERE {_KNOWN} GROUP BY 1 ORDER BY 1"""
        ),
        folders=_folders(view),
        other_folders=max(0, folders - FOLDERS),
    )


def _folders(view: Joined) -> pa.Table:
    return view.rows(
        f"""WITH named AS (SELECT *, coalesce(source_prefix, '') AS folder FROM chosen WHERE {_RECOGNISED}),
            worst AS (SELECT folder, count(*) FILTER (status != 'ok') AS bad, count(*) AS every FROM named
                      GROUP BY folder ORDER BY bad DESC, every DESC, folder LIMIT {FOLDERS})
            SELECT folder, make_timestamp_ns(epoch_ns(started_at) // {HOUR_NS} * {HOUR_NS}) AS hour, count(*) AS pictures,
                   count(*) FILTER (status != 'ok') AS failed, failed / pictures AS share,
                   count(*) FILTER (low_confidence) AS low_confidence
            FROM named JOIN worst USING (folder) GROUP BY folder, hour ORDER BY any_value(bad) DESC, folder, hour"""
    )
