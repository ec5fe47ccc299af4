"""A Tempo that answers from recorded files, or from a list of traces with the limits and silences of the real one."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
import orjson

from analytics.stores.mapping import Mapping, read_mapping
from analytics.stores.tempo import TempoStore

FIXTURES = Path(__file__).parent / "fixtures" / "tempo"
START, END = 1_795_288_472, 1_795_292_072
"""The hour of the recorded answers, in seconds."""
SECOND = 1_000_000_000
RECORDED = """
record: {span: sonic_generation}
columns:
  audio_drift_ms: {span: audio.drift_ms}
  error_type: {span: error.type}
  gpu_memory_mb: {span: gpu.mem_mb, kind: outcome, type: float, unit: MB}
"""


class Recorded:
    """A store whose server answers each path (a prefix) with a recorded file, and the requests that it got."""

    def __init__(self, answers: dict[str, str], mapping: Mapping | None = None, **options: Any) -> None:
        self.requests: list[httpx.Request] = []
        self._answers = answers
        self.store = TempoStore(
            "http://tempo", mapping=mapping, transport=httpx.MockTransport(self._answer), **{"own_names": False, **options}
        )

    def asked(self, path: str = "/api/search") -> list[dict[str, str]]:
        """The parameters of the requests to a path."""
        return [dict(request.url.params) for request in self.requests if request.url.path == path]

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        for prefix, name in self._answers.items():
            if request.url.path.startswith(prefix):
                status = re.search(r"-(\d{3})\.txt$", name)
                return httpx.Response(int(status[1]) if status else 200, content=(FIXTURES / name).read_bytes())
        return httpx.Response(404)


class Simulated:
    """A server of made-up traces (id, start and end in seconds); it cuts at `limit` without a word, as Tempo does."""

    def __init__(self, traces: Sequence[tuple[str, float, float]], too_large: int = 10**9, **options: Any) -> None:
        self.traces = traces
        self.too_large = too_large
        self.searches: list[dict[str, str]] = []
        self.late: Callable[[tuple[str, float, float]], float] = lambda trace: trace[1]
        self.store = TempoStore("http://tempo", transport=httpx.MockTransport(self._answer), own_names=False, **options)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        if request.url.path != "/api/search":
            return httpx.Response(404, text="404 page not found")
        asked = dict(request.url.params)
        self.searches.append(asked)
        low, high = int(asked["start"]), int(asked["end"])
        longer = re.search(r"duration >= (\d+)s", asked["q"])
        found = [trace for trace in self.traces if max(trace[1], self.late(trace)) <= high and trace[2] >= low]
        found = [trace for trace in found if not longer or trace[2] - trace[1] >= int(longer[1])]
        if len(found) > self.too_large:
            return httpx.Response(500, text="response larger than the max (34892845 vs 16777216)")
        return httpx.Response(200, content=orjson.dumps({"traces": [_trace(one) for one in found[: int(asked["limit"])]]}))


def _trace(made: tuple[str, float, float]) -> dict[str, Any]:
    id, start, end = made
    span = {"spanID": f"{id:>016}", "name": "sonic_generation", "startTimeUnixNano": str(int(start * SECOND))}
    span["durationNanos"] = str(int((end - start) * SECOND))
    group = {"spans": [span], "matched": 1, "attributes": [{"key": "by(status)", "value": {"stringValue": "ok"}}]}
    return {"traceID": id.lstrip("0"), "startTimeUnixNano": span["startTimeUnixNano"], "spanSets": [group], "spanSet": group}


def recorded_mapping(folder: Path) -> Mapping:
    """Our names for what the recorded service wrote."""
    path = folder / "mapping.yaml"
    path.write_text(RECORDED)
    return read_mapping(path)
