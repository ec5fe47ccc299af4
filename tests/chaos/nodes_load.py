"""Clients of a cluster during a fault, and the count of what they were answered."""

from __future__ import annotations

import io
import socket
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import av
import httpx

from telemetry.errors import ERROR_TYPES
from telemetry.ids import uuid7
from tests.chaos.nodes_cluster import Cluster
from tests.chaos.nodes_machine import Machine
from tests.servers.process import wait_for
from tests.service.conftest import PORTRAIT, Service

# A peer that lost its power says nothing: a client that waits for minutes wants to hear of it.
KEEPALIVE = [
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 2),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
]


@dataclass
class Count:
    """Of one fault. `waiting`: answers to who waited; `handed`: to who handed in; `jobs`: states of all accepted ones."""

    fault: str
    waiting: Counter[str] = field(default_factory=Counter)
    handed: Counter[str] = field(default_factory=Counter)
    jobs: Counter[str] = field(default_factory=Counter)
    attempts: Counter[int] = field(default_factory=Counter)
    other: list[str] = field(default_factory=list)
    not_whole: list[str] = field(default_factory=list)
    longest_s: float = 0.0
    again_s: float | None = None
    """From the fault to the first answer with a video of a request that was sent after it."""
    lost: Any = None

    @property
    def faultless(self) -> bool:
        """A video or a clear retriable error for everybody; a whole video for every accepted job."""
        return not self.other and not self.not_whole and set(self.jobs) <= {"succeeded"} and self.again_s is not None

    def __str__(self) -> str:
        again = "never" if self.again_s is None else f"{self.again_s:.1f} s"
        return (
            f"{self.fault}: waited {dict(self.waiting)}; handed in {dict(self.handed)}; other {self.other}; jobs {dict(self.jobs)} "
            f"(attempts {dict(self.attempts)}), videos not whole {self.not_whole}; longest {self.longest_s:.1f} s; "
            f"a new request had its video after {again}; lost {self.lost}"
        )


class Load:
    """One client that waits on each machine of `cluster`, and one that hands in on all in turn. `seconds`: of speech in each."""

    def __init__(self, cluster: Cluster, fault: str, seconds: float = 0.6) -> None:
        self.count = Count(fault)
        self._cluster = cluster
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._struck: float | None = None
        self._handed: dict[str, str] = {}
        inputs = {"portrait_image": PORTRAIT.read_bytes(), "audio_clip": Service.long_speech(seconds)}
        with httpx.Client(base_url=cluster.url(cluster.head), timeout=60) as client:
            wait_for(lambda: cluster.ready(), 90.0, lambda: "the proxies of before are not back")
            self._prompt = {key: client.post("/assets", files={"file": body}).json()["asset_id"] for key, body in inputs.items()}
        self._before = {row["job_id"] for row in cluster.table.list(limit=100_000)}
        self._clients = [threading.Thread(target=self._wait_on, args=(one,)) for one in cluster.machines]
        self._clients.append(threading.Thread(target=self._hand_in))
        for one in self._clients:
            one.start()

    def struck(self) -> None:
        """The fault happens now."""
        self._struck = time.monotonic()

    def go_on(self, least_s: float, most_s: float) -> None:
        """Goes on until a new request has its video, for `least_s` at least and `most_s` at most."""
        started = time.monotonic()
        while (passed := time.monotonic() - started) < most_s and (passed < least_s or self.count.again_s is None):
            time.sleep(0.2)

    def encoding(self, within_s: float = 60.0) -> bool:
        """Waits until a job is in the encoder."""
        until = time.monotonic() + within_s
        while time.monotonic() < until:
            running = self._cluster.table.list(states=("running",))
            if any(row["frames"] and row["frames"] < row["frames_total"] for row in running):
                return True
            time.sleep(0.02)
        return False

    def end(self, settle_s: float) -> Count:
        """Stops the clients, waits for every accepted job's end, and looks at every video through a machine that lives."""
        self._stop.set()
        for one in self._clients:
            one.join()
        until = time.monotonic() + settle_s
        while time.monotonic() < until and self._cluster.table.list(states=("queued", "running"), limit=1000):
            time.sleep(0.5)
        rows = [row for row in self._cluster.table.list(limit=100_000) if row["job_id"] not in self._before]
        known = {row["job_id"] for row in rows}
        self.count.not_whole += [f"{job}: accepted, and not in the table" for job in self._handed if job not in known]
        machines = self._cluster.machines
        with httpx.Client(timeout=60) as client:
            for number, row in enumerate(rows):
                self._look_at(client, row, machines[number % len(machines)])
        return self.count

    def _look_at(self, client: httpx.Client, row: Any, machine: Machine) -> None:
        count = self.count
        count.jobs[row["state"]] += 1
        count.attempts[row["attempt"]] += 1
        if row["state"] != "succeeded":
            count.not_whole.append(f"{row['request_id']}: {row['state']} {row['error']} attempt {row['attempt']}")
            return
        answer = self._fetched(client, row, machine)
        frames = frames_of(answer.content) if answer.status_code == 200 else -answer.status_code
        if frames != row["result"]["video_frames"]:
            count.not_whole.append(f"{row['request_id']}: {frames} frames of {row['result']['video_frames']}")

    def _fetched(self, client: httpx.Client, row: Any, machine: Machine) -> httpx.Response:
        """The answer of a machine's proxy, or of the next one's while it is not back. Raises httpx.TransportError after 60 s."""
        until = time.monotonic() + 60
        while True:
            try:
                return client.get(f"{self._cluster.url(machine)}/videos/{row['request_id']}.mp4")
            except httpx.TransportError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.5)
                machine = self._cluster.machines[(self._cluster.machines.index(machine) + 1) % len(self._cluster.machines)]

    def _client(self, machine: Machine) -> httpx.Client:
        # Loopback's own routes and proxies have nothing to say here.
        transport = httpx.HTTPTransport(socket_options=KEEPALIVE)
        return httpx.Client(base_url=self._cluster.url(machine), timeout=httpx.Timeout(120, connect=5), transport=transport)

    def _body(self) -> dict[str, Any]:
        return {"prompt": {**self._prompt, "min_resolution": 256, "inference_steps": 8}}

    def _wait_on(self, machine: Machine) -> None:
        """Requests to one machine, one after the other, until it is gone for good; with a key, as a client that comes back."""
        while not self._stop.is_set():
            if machine not in self._cluster.machines:  # its client goes to another one
                machine = self._cluster.machines[-1]
            started = time.monotonic()
            with self._client(machine) as client:
                said = self._ask(client, self.count.waiting, {"Idempotency-Key": uuid7()}, started)
            if said != "video":
                self._stop.wait(0.5)

    def _hand_in(self) -> None:
        turn = 0
        while not self._stop.is_set():
            headers = {"Idempotency-Key": uuid7(), "Prefer": "respond-async"}
            while True:  # the same order under the same key, until it is accepted: an answer that got lost makes no second job
                turn += 1
                machine = self._cluster.machines[turn % len(self._cluster.machines)]
                with self._client(machine) as client:
                    if self._ask(client, self.count.handed, headers, time.monotonic()) == "accepted" or self._stop.is_set():
                        break
                self._stop.wait(0.5)
            self._stop.wait(2.0)

    def _ask(self, client: httpx.Client, counter: Counter[str], headers: dict[str, str], started: float) -> str:
        try:
            answer = client.post("/generate", json=self._body(), headers=headers)
            said = self._said(answer)
        except httpx.TransportError as error:
            said = f"connection ({type(error).__name__})"
        with self._lock:
            ended = time.monotonic()
            counter[said] += 1
            self.count.longest_s = max(self.count.longest_s, ended - started)
            struck = self._struck
            if said == "video" and struck is not None and started > struck and self.count.again_s is None:
                self.count.again_s = ended - struck
        return said

    def _said(self, answer: httpx.Response) -> str:
        """A word for an answer; what is neither a video, an acceptance nor a clear retriable error goes to `other`."""
        if answer.status_code == 200 and answer.json().get("video_url"):
            return "video"
        if answer.status_code == 202:
            self._handed[answer.json()["job_id"]] = answer.json()["request_id"]
            return "accepted"
        try:
            type = answer.json()["error"]["type"]
        except (ValueError, KeyError, TypeError):
            type = "unclear"
        if type in ERROR_TYPES and ERROR_TYPES[type].retriable and type != "internal":
            return f"{answer.status_code} {type}"
        self.count.other.append(f"{answer.status_code} {answer.text[:300]}")
        return "other"


def frames_of(video: bytes) -> int:
    """Frames that a decoder gets out of a video."""
    with av.open(io.BytesIO(video)) as container:
        return sum(1 for _ in container.decode(video=0))
