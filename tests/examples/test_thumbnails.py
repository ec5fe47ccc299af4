"""A plain FastAPI or Flask app leaves one joined record a request, with three lines and no Ray."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
CALLS = """
import json, os, sys, pathlib
os.environ["THUMBNAILS_DATA"] = sys.argv[1]
import httpx, asyncio
from examples import thumbnails

async def ask():
    transport = httpx.ASGITransport(app=thumbnails.app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        answers = [await client.post("/thumbnail", params={"width": width}, headers=headers) for width, headers in (
            (100, {}), (640, {"traceparent": "00-" + "ab" * 16 + "-" + "cd" * 8 + "-01"}), (9999, {}))]
        return [answer.status_code for answer in answers]

statuses = asyncio.run(ask())
from analytics.columns import vocabulary
from analytics.filters import parse
from analytics.requests import load
from analytics.stores.local import LocalStore
store = LocalStore(pathlib.Path(sys.argv[1]) / "journal")
found = load(store)
rows = sorted(found.table.to_pylist(), key=lambda row: row["started_at"])
slow = load(store, where=parse("resize_ms > 5 && width > 500", vocabulary(["resize_ms"])))
events = [event["event_type"] for event in store.events(rows[1]["request_id"])]
print(json.dumps({
    "http": statuses, "names": [row["name"] for row in rows], "status": [row["status"] for row in rows],
    "both": found.coverage.with_both, "trace": rows[1]["trace_id"], "events": events, "slow": slow.table.num_rows,
    "spans": [span.name for span in store.spans(rows[1]["trace_id"])], "heavy": sorted({"ray", "torch"} & sys.modules.keys()),
}))
"""


def test_three_lines_are_enough(tmp_path: Path) -> None:
    import json

    done = subprocess.run([sys.executable, "-c", CALLS, str(tmp_path)], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["http"] == [200, 200, 500]
    assert seen["names"] == ["POST /thumbnail"] * 3
    assert seen["status"] == ["ok", "ok", "error"]
    assert seen["both"] == 3
    assert seen["trace"] == "ab" * 16
    assert seen["events"] == ["request_received", "resized", "business_output"]
    assert seen["slow"] == 1, "what a stage measured is a column that can be asked"
    assert seen["spans"] == ["POST /thumbnail", "resize"]
    assert seen["heavy"] == []
