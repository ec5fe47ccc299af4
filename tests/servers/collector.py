"""A real OpenTelemetry Collector that writes what it received into a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import orjson

from tests.servers.fetch import collector_binary
from tests.servers.process import Server, free_port

_CONFIG = """\
receivers:
  otlp: {{protocols: {{http: {{endpoint: "127.0.0.1:{port}"}}}}}}
exporters:
  file: {{path: "{out}", append: true}}
extensions:
  health_check: {{endpoint: "127.0.0.1:{health}"}}
service:
  extensions: [health_check]
  pipelines:
    traces: {{receivers: [otlp], exporters: [file]}}
  telemetry: {{metrics: {{level: none}}}}
"""


class Collector(Server):
    """`url` takes OTLP over HTTP; `config` replaces the configuration (its fields: port, out, health)."""

    name = "collector"
    ready_s = 20.0

    def __init__(self, config: str = _CONFIG) -> None:
        super().__init__()
        self.out = self.folder / "traces.jsonl"
        self._health = free_port()
        self._file = self.folder / "config.yaml"
        self._file.write_text(config.format(port=self.port, out=self.out, health=self._health))

    def command(self) -> list[str]:
        """The built binary."""
        return [str(collector_binary()), "--config", str(self._file)]

    def ready(self) -> bool:
        """By its health check."""
        return httpx.get(f"http://127.0.0.1:{self._health}", timeout=2.0).status_code == 200

    def spans(self) -> list[dict[str, Any]]:
        """Every span that it has written so far, in the order of its arrival."""
        return spans_in(self.out)


def spans_in(path: Path) -> list[dict[str, Any]]:
    """The spans of a file of OTLP/JSON requests; a last line that is still being written is left out."""
    if not path.exists():
        return []
    found: list[dict[str, Any]] = []
    for line in path.read_bytes().split(b"\n")[:-1]:
        for group in orjson.loads(line)["resourceSpans"]:
            found += [span for scope in group["scopeSpans"] for span in scope["spans"]]
    return found
