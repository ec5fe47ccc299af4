"""A new version under load: `python -m tests.chaos.rolling [--seconds 20]`. Ends with 1 if a request failed or a job was lost.

Serve's own in-place update, as `serve deploy` does it: the same application is deployed again with another `service_version` while
clients wait for answers, hand jobs in and look at them.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

os.environ |= {"RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "serve.proxy:middlewares", "RAY_AUTH_MODE": "disabled"}

import httpx
import ray
from ray import serve
from ray.serve.config import HTTPOptions

from analytics.requests import joined
from analytics.stores.base import Range
from analytics.stores.local import LocalStore
from serve.app import build
from serve.jobs import FINAL_STATES
from serve.settings import Settings
from tests.service.conftest import PORTRAIT, Service


@dataclass
class Load:
    """Clients that go on until they are told to stop, and what they were answered."""

    url: str
    order: dict[str, str]
    stop: threading.Event = field(default_factory=threading.Event)
    answers: Counter[str] = field(default_factory=Counter)
    waits: list[float] = field(default_factory=list)
    jobs: list[str] = field(default_factory=list)
    seed: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def go(self, *, wait: bool) -> None:
        """One client: one request after the other."""
        with httpx.Client(base_url=self.url, timeout=180) as client:
            while not self.stop.is_set():
                with self.lock:
                    self.seed += 1
                    body = {"prompt": {**self.order, "seed": self.seed, "min_resolution": 128}}
                started = time.monotonic()
                try:
                    answer = client.post("/generate", json=body, headers={} if wait else {"Prefer": "respond-async"})
                    said = f"{'wait' if wait else 'hand in'} {answer.status_code}"
                except httpx.HTTPError as error:
                    answer, said = None, f"{'wait' if wait else 'hand in'} {type(error).__name__}"
                with self.lock:
                    self.answers[said] += 1
                    self.waits.append(time.monotonic() - started)
                    if answer is not None and answer.is_success:
                        self.jobs.append(answer.json()["job_id"])
                    elif answer is not None:
                        print(answer.text[:300])
                if not wait:
                    time.sleep(1.0)

    def look(self) -> None:
        """One client that asks for the list, twenty times a second: it finds every gap."""
        with httpx.Client(base_url=self.url, timeout=180) as client:
            while not self.stop.is_set():
                for word, path in (("look", "/jobs"), ("ready", "/readyz")):
                    try:
                        said = f"{word} {client.get(path).status_code}"
                    except httpx.HTTPError as error:
                        said = f"{word} {type(error).__name__}"
                    with self.lock:
                        self.answers[said] += 1
                time.sleep(0.05)


def report(load: Load, folder: Path, took_s: float) -> bool:
    """Prints the counts; True where nothing failed."""
    states: Counter[str] = Counter()
    with httpx.Client(base_url=load.url, timeout=60) as client:
        until = time.monotonic() + 120
        left = set(load.jobs)
        while left and time.monotonic() < until:
            for job_id in list(left):
                state = client.get(f"/jobs/{job_id}").json()["state"]
                if state in FINAL_STATES:
                    states[state] += 1
                    left.discard(job_id)
            time.sleep(0.2)
    with joined(LocalStore(folder / "journal"), Range(None, None)) as view:
        rows = view.rows("SELECT service_version, count(*) AS n, max(attempt) AS attempts FROM requests GROUP BY ALL ORDER BY 1")
    # Not ready for a moment is no failed request: a gateway asks every few seconds, and calls wait.
    good = all(said.split()[-1] in ("200", "202") for said in load.answers if not said.startswith("ready"))
    print(f"the update took {took_s:.1f} s; answers: {dict(load.answers)}; the longest took {max(load.waits):.1f} s")
    print(f"{len(load.jobs)} jobs: {dict(states)}, {len(left)} without an end; records: {rows.to_pylist()}")
    return good and not left and set(states) == {"succeeded"} and rows.num_rows == 2


def main() -> int:
    """Runs it all in this process, which is Ray's driver."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="load before and after the update")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sonoscope-rolling-") as name, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        settings = Settings(data_dir=Path(name), flow_host="127.0.0.1", service_version="1", replica_drain_s=120)
        ray.init(address="local", num_cpus=8, include_dashboard=False, log_to_driver=False)
        try:
            serve.start(http_options=HTTPOptions(host="127.0.0.1", port=port))
            serve.run(build(settings), name="sonoscope", route_prefix="/")
            url = f"http://127.0.0.1:{port}"
            with httpx.Client(base_url=url, timeout=60) as client:
                inputs = {"portrait_image": PORTRAIT.read_bytes(), "audio_clip": Service.long_speech(1.0)}
                order = {key: client.post("/assets", files={"file": body}).json()["asset_id"] for key, body in inputs.items()}
            load = Load(url, order)
            clients = [threading.Thread(target=load.go, kwargs={"wait": wait}) for wait in (True, True, False)]
            clients.append(threading.Thread(target=load.look))
            for one in clients:
                one.start()
            time.sleep(asked.seconds)
            started = time.monotonic()
            serve.run(build(settings.model_copy(update={"service_version": "2"})), name="sonoscope", route_prefix="/")
            took_s = time.monotonic() - started
            time.sleep(asked.seconds)
            load.stop.set()
            for one in clients:
                one.join()
            return 0 if report(load, Path(name), took_s) else 1
        finally:
            serve.shutdown()
            ray.shutdown()


if __name__ == "__main__":
    sys.exit(main())
