"""An OTLP receiver and a bulk endpoint that misbehave on request: each is a process of its own, on a real socket.

    python tests/servers/receiver.py PORT FOLDER

What it accepted is appended to FOLDER/accepted.txt before it answers: time and span or document id. FOLDER/mode.json says how it
behaves: `status` (answered instead of accepting), `share` (of the requests that are so), `max_bytes` (413 beyond), `slow_s`,
`refuse` (400 where the body holds this text), `drop` (share of the requests that are accepted, and whose answer never comes),
`rejected` (spans of each request said to be rejected).
"""

from __future__ import annotations

import json
import random
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

_lock = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    """POST /v1/traces takes OTLP/JSON, POST /_bulk takes bulks; a GET says that we are up."""

    folder: Path
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Ready; and every index template is there."""
        self._answer(200, {"index_templates": [{"index_template": {"version": 10**6}}]})

    def do_POST(self) -> None:
        """Behaves as mode.json says."""
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        mode = json.loads((self.folder / "mode.json").read_text())
        if mode.get("slow_s"):
            time.sleep(mode["slow_s"])
        if len(body) > mode.get("max_bytes", 2**60):
            self._answer(413, None)
        elif mode.get("refuse") and mode["refuse"].encode() in body:
            self._answer(400, {"error": "refused"})
        elif mode.get("status") and random.random() < mode.get("share", 1.0):
            self._answer(mode["status"], {"error": "not now"})
        else:
            self._take(body, mode)

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""

    def _take(self, body: bytes, mode: dict[str, Any]) -> None:
        if self.path.startswith("/_bulk"):
            lines = body.split(b"\n")[:-1]
            ids = [json.loads(line)["create"]["_id"] for line in lines[::2]]
            answer: dict[str, Any] = {"errors": False, "items": [{"create": {"status": 201}} for _ in ids]}
        elif self.path != "/v1/traces":
            self._answer(200, {"who": "another program"})
            return
        else:
            ids = [span["spanId"] for group in json.loads(body)["resourceSpans"] for span in group["scopeSpans"][0]["spans"]]
            rejected = mode.get("rejected", 0)
            answer = {"partialSuccess": {"rejectedSpans": str(rejected), "errorMessage": "too old"} if rejected else {}}
        with _lock, (self.folder / "accepted.txt").open("a") as file:
            at = time.time()
            file.write("".join(f"{at} {id}\n" for id in ids))
        if random.random() < mode.get("drop", 0.0):
            self.close_connection = True  # taken, and nobody hears of it
            return
        self._answer(200, answer)

    def _answer(self, status: int, body: dict[str, Any] | None) -> None:
        content = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def main() -> None:
    """Serves until it is ended."""
    port, Handler.folder = int(sys.argv[1]), Path(sys.argv[2])
    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    main()
