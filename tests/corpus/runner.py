"""Sends every case to a running service over HTTP and looks at what came of it, and at what it left behind."""

from __future__ import annotations

import http.server
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from deployments.media.probe import probe
from sonoscope.run import marked_processes
from telemetry.errors import ERROR_TYPES, RequestError
from tests.corpus.cases import VIDEO, Case

DEADLINE_S = 60
"""Deadline of each request: what takes longer hangs. The longest of the corpus takes 4 s on two cores that do nothing else."""
AT_A_TIME = 3
SMALL = {"min_resolution": "128", "inference_steps": "4", "fps": "10"}
_BOUNDARY = b"corpus-7d2f"


@dataclass(frozen=True)
class Outcome:
    """What came of a case. `trouble` says what is wrong with it; empty where nothing is."""

    case: Case
    got: str
    message: str
    advice: tuple[str, ...]
    seconds: float
    trouble: str


def form(case: Case) -> bytes:
    """The multipart body, byte by byte: no client library sends such names as they are."""
    parts: list[bytes] = []
    for key, value in (SMALL | case.parameters).items():
        parts.append(b'Content-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (key.encode(), value.encode()))
    for key, name, data in ((b"portrait", case.portrait_name, case.portrait), (b"audio", case.audio_name, case.audio)):
        name = name.replace(b"\\", b"\\\\").replace(b'"', b"%22")
        head = b'Content-Disposition: form-data; name="%s"; filename="%s"\r\nContent-Type: application/octet-stream\r\n\r\n'
        parts.append(head % (key, name) + data + b"\r\n")
    return b"".join(b"--" + _BOUNDARY + b"\r\n" + part for part in parts) + b"--" + _BOUNDARY + b"--\r\n"


def send(url: str, case: Case) -> Outcome:
    """One request and its judgement."""
    kind = "application/json" if case.body is not None else f"multipart/form-data; boundary={_BOUNDARY.decode()}"
    headers = {"Content-Type": kind, "X-Deadline-Seconds": str(DEADLINE_S)}
    started = time.monotonic()
    body = form(case) if case.body is None else case.body
    try:
        answer = httpx.post(f"{url}/generate", content=body, headers=headers, timeout=DEADLINE_S + 30)
    except httpx.HTTPError as error:
        return Outcome(case, "no answer", str(error), (), time.monotonic() - started, type(error).__name__)
    seconds = time.monotonic() - started
    if answer.status_code != 200:
        return _refusal(case, answer, seconds)
    found = answer.json()
    advice = tuple(found["advice"])
    trouble = _wrong_video(url, found)
    if VIDEO not in case.expected:
        trouble = "a video came"
    elif missing := case.advice - set(advice):
        trouble = trouble or f"the advice {', '.join(sorted(missing))} is missing"
    return Outcome(case, VIDEO, "", advice, seconds, trouble)


def _refusal(case: Case, answer: httpx.Response, seconds: float) -> Outcome:
    try:
        error: dict[str, Any] = answer.json()["error"]
    except (ValueError, KeyError, TypeError):
        return Outcome(case, f"status {answer.status_code}", answer.text[:200], (), seconds, "the error has not our shape")
    known = ERROR_TYPES.get(error["type"])
    if known is None or answer.status_code != known.http_status:
        trouble = f"status {answer.status_code} does not belong to {error['type']}"
    elif answer.status_code >= 500:
        trouble = f"status {answer.status_code}"
    elif error["type"] not in case.expected:
        trouble = "another answer than expected"
    else:
        trouble = "" if error["message"] and error["hint"] else "no words"
    return Outcome(case, error["type"], error["message"], (), seconds, trouble)


def _wrong_video(url: str, found: dict[str, Any]) -> str:
    """What is wrong with the video, empty where it is right: it plays, is as long as the sound, and is what the answer says."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "video.mp4"
        path.write_bytes(httpx.get(url + found["video_url"], timeout=30).content)
        try:
            facts = probe(path)
        except RequestError as error:
            return f"the video does not play: {error.message}"
    outcomes = found["outcomes"]
    if (facts.frames, facts.width, facts.height) != (outcomes["video_frames"], outcomes["width"], outcomes["height"]):
        return "the video is not what the answer says"
    if abs(facts.audio_s - outcomes["audio_s"]) > 0.03 or not -0.03 <= facts.video_s - facts.audio_s <= 0.13:
        return f"the video has {facts.video_s:.2f} s, its sound {facts.audio_s:.2f} s, the recording {outcomes['audio_s']:.2f} s"
    return ""


def run_all(url: str, cases: Sequence[Case], on_done: Callable[[Outcome], None] = lambda _: None) -> list[Outcome]:
    """Every case, AT_A_TIME at once, in the order of `cases`."""

    def one(case: Case) -> Outcome:
        outcome = send(url, case)
        on_done(outcome)
        return outcome

    with ThreadPoolExecutor(AT_A_TIME) as pool:
        return list(pool.map(one, cases))


@contextmanager
def trap() -> Iterator[tuple[str, list[str]]]:
    """An address on this machine, and the list of what was asked of it."""
    asked: list[str] = []

    class Listener(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, format: str, *args: object) -> None:
            del format, args

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Listener) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/trap.wav", asked
        server.shutdown()


@dataclass(frozen=True)
class Footprint:
    """What a run of the service holds: memory and processes, and what lies in its folder that should not."""

    resident_mb: float
    processes: int
    strays: tuple[str, ...]


def footprint(run_id: str, data_dir: Path) -> Footprint:
    """The service's processes now; unfinished or temporary files in its folders now."""
    processes = marked_processes(run_id)
    strays = [path for path in data_dir.rglob("*.part") if path.is_file()]
    for folder, endings in (("assets", ("",)), ("videos", (".mp4", ".parquet")), ("cache", (".npz",))):
        strays += [path for path in (data_dir / folder).iterdir() if path.suffix not in endings or path.name.startswith(".")]
    resident = sum(process.memory_info().rss for process in processes) / 1e6
    return Footprint(resident, len(processes), tuple(sorted(str(path.relative_to(data_dir)) for path in strays)))
