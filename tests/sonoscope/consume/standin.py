"""A small HTTP service with the routes that the consumer uses, in place of one that makes videos: jobs end when a test says so."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import Counter
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from telemetry.ids import new_traceparent, uuid7


class Standin:
    """`orders`: what each idempotency key asked for. `refusals`: (status, type) of the next POST /generate, first in first out."""

    def __init__(self, port: int = 0) -> None:
        self.orders: dict[str, dict[str, Any]] = {}
        self.jobs: dict[str, dict[str, Any]] = {}
        self.asked: Counter[str] = Counter()
        self.parents: dict[str, str] = {}
        self.assets: set[str] = set()
        self.refusals: list[tuple[int, str]] = []
        self.ending = True
        self.lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"service": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", port), handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Nobody answers any more."""
        self._server.shutdown()
        self._server.server_close()

    def end_all(self) -> None:
        """Every job succeeds."""
        with self.lock:
            for job in self.jobs.values():
                job |= {"state": "succeeded", "ended_at": "2026-01-01T00:00:00+00:00"}

    def generate(self, prompt: dict[str, Any], headers: Message) -> tuple[int, dict[str, Any]]:
        """Takes an order, or refuses it as it was told."""
        key = headers["idempotency-key"]
        with self.lock:
            self.asked[key] += 1
            if self.refusals:
                return _refusal(*self.refusals.pop(0), "told to refuse")
            if "strange" in prompt:
                return _refusal(422, "invalid_parameter", "strange is not a parameter.", "strange")
            if key not in self.orders:
                job_id = uuid7()
                trace_id = new_traceparent(headers["traceparent"]).split("-")[1]
                self.orders[key] = prompt
                self.parents[job_id] = headers["traceparent"]
                told = {"job_id": job_id, "request_id": uuid7(), "trace_id": trace_id, "state": "queued", "accepted_at": ""}
                self.jobs[job_id] = {**told, "idempotency_key": key}
            elif self.orders[key] != prompt:
                return _refusal(422, "idempotency_mismatch", "another order", "Idempotency-Key")
            job = next(job for job in self.jobs.values() if job["idempotency_key"] == key)
            if self.ending:
                job |= {"state": "succeeded", "ended_at": "2026-01-01T00:00:00+00:00"}
            return 202, _shown(job)


def _shown(job: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in job.items() if name != "idempotency_key"}


def _refusal(status: int, kind: str, message: str, field: str | None = None) -> tuple[int, dict[str, Any]]:
    return status, {"error": {"type": kind, "message": message, "field": field, "hint": "a way out", "trace_id": None}}


class _Handler(BaseHTTPRequestHandler):
    service: Standin
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        with self.service.lock:
            if path == "/readyz":
                self._answer(200, {"ready": True})
            elif path == "/jobs":
                self._answer(200, [_shown(job) for job in self.service.jobs.values()])
            elif (job := self.service.jobs.get(path.removeprefix("/jobs/"))) is not None:
                self._answer(200, _shown(job))
            else:
                self._answer(*_refusal(404, "not_found", "no such job"))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.path == "/generate":
            self._answer(*self.service.generate(json.loads(body)["prompt"], self.headers))
            return
        content = body.split(b"\r\n\r\n", 1)[1].rsplit(b"\r\n--", 1)[0]
        asset_id = hashlib.sha256(content).hexdigest()
        self.service.assets.add(asset_id)
        self._answer(201, {"asset_id": asset_id, "bytes": len(content)})

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""

    def _answer(self, status: int, body: Any) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
