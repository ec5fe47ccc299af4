"""Deep links into Grafana and Kibana, where their addresses are configured."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode


def links(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(label, address) for a request row. GRAFANA_URL, KIBANA_URL: the servers; GRAFANA_TEMPO_UID: the data source."""
    trace_id = row.get("trace_id")
    found: list[tuple[str, str]] = []
    if trace_id and (grafana := os.environ.get("GRAFANA_URL")):
        source = os.environ.get("GRAFANA_TEMPO_UID", "tempo")
        query = [{"refId": "A", "datasource": {"type": "tempo", "uid": source}, "queryType": "traceql", "query": trace_id}]
        pane = {"a": {"datasource": source, "queries": query, "range": {"from": "now-7d", "to": "now"}}}
        found.append(("Grafana", f"{grafana.rstrip('/')}/explore?" + urlencode({"schemaVersion": 1, "panes": json.dumps(pane)})))
    if trace_id and (kibana := os.environ.get("KIBANA_URL")):
        search = f"(query:(language:kuery,query:'trace.id:\"{trace_id}\"'))"
        found.append(("Kibana", f"{kibana.rstrip('/')}/app/discover#/?_a={quote(search)}&_g=(time:(from:now-7d,to:now))"))
    return found
