"""What the forwarder would install by itself, for clusters where it may only write."""

from __future__ import annotations

from typing import Any

from telemetry.shipping.template import body

INDEX = "sonoscope-logs"
"""Default of the setting `elasticsearch_index`."""
KEEP_DAYS = 30
"""Logs are kept longer than traces (14 days), for the flat rows in them are what statistics need."""


def bodies() -> dict[str, dict[str, Any]]:
    """Name of the file and what is put to `_index_template/sonoscope-logs` and `_ilm/policy/sonoscope-logs`."""
    phases = {"hot": {"actions": {}}, "delete": {"min_age": f"{KEEP_DAYS}d", "actions": {"delete": {}}}}
    return {"index-template": body(INDEX, INDEX), "lifecycle": {"policy": {"phases": phases}}}
