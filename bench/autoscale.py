"""Replicas and nodes follow the work, on one machine with GPUs that are only counted: load up, both up; load gone, down to zero.

    python -m bench.autoscale [--tiny] [--jobs 16] [--seconds 10] [--most 2] [--figure FILE.svg]

A Ray cluster of its own with Ray's fake nodes (each a raylet of its own, with one GPU in Ray's books), and the service on it.
The decisions are those of serve/scaling.py in Serve's controller; the nodes those of Ray's autoscaler. Every process is ended.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import httpx
import psutil

from bench.autoscale_figure import Line, figure
from bench.pipeline import clip
from bench.ratios import keep
from sonoscope.run import MARK, end_processes, marked_processes, read_run
from telemetry.decisions import read_decisions

RULES = {"target_s": 3.0, "down_after_s": 8.0, "to_zero_after_s": 12.0, "start_s": 10.0}
IDLE_MIN = 0.3
"""Minutes after which Ray's autoscaler takes a node back that does nothing."""


def fake_cluster(folder: Path, most: int, env: dict[str, str]) -> tuple[subprocess.Popen[bytes], str]:
    """A head without GPUs and up to `most` nodes with one each, started on demand; the head's process and address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"127.0.0.1:{port}"
    config = {
        "cluster_name": "fake", "max_workers": most, "idle_timeout_minutes": IDLE_MIN, "head_node_type": "ray.head.default",
        "provider": {"type": "fake_multinode", "gcs_address": address, "use_node_id_as_ip": True, "disable_node_updaters": True,
                     "disable_launch_config_check": True},
        "available_node_types": {
            "ray.head.default": {"resources": {"CPU": 8}, "node_config": {}, "min_workers": 0, "max_workers": 0},
            "gpu": {"resources": {"CPU": 1, "GPU": 1, "object_store_memory": 300_000_000}, "node_config": {}, "min_workers": 0,
                    "max_workers": most},
        },
    }  # fmt: skip
    # What the launcher would have filled in.
    config |= {name: {} for name in ("auth", "docker", "file_mounts", "head_node", "worker_nodes")} | {"upscaling_speed": 1.0}
    config |= {name: [] for name in ("cluster_synced_files", "rsync_exclude", "rsync_filter", "initialization_commands")}
    config |= {f"{whose}{what}_commands": [] for whose in ("", "head_", "worker_") for what in ("setup", "start_ray")}
    (folder / "cluster.json").write_text(json.dumps(config | {"file_mounts_sync_continuously": False}))
    command = [
        str(Path(sys.executable).parent / "ray"),
        "start",
        "--head",
        "--block",
        f"--port={port}",
        "--num-cpus=8",
        "--num-gpus=0",
    ]
    command += [f"--autoscaling-config={folder / 'cluster.json'}", "--include-dashboard=false", "--disable-usage-stats"]
    log = (folder / "ray.log").open("wb")
    return subprocess.Popen(command, env=env, stdout=log, stderr=log), address


def _answers(ray: subprocess.Popen[bytes], address: str, folder: Path) -> None:
    """Waits until the head takes connections. Raises SystemExit with its log where it ended instead."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if ray.poll() is not None:
            break
        with contextlib.suppress(OSError), socket.create_connection((address.split(":")[0], int(address.split(":")[1])), 1):
            time.sleep(5)  # its other processes
            return
        time.sleep(0.2)
    raise SystemExit(f"Ray's head did not start:\n{(folder / 'ray.log').read_text()[-2000:]}")


def nodes(mark: str) -> int:
    """How many raylets besides the head's are alive."""
    count = 0
    for process in marked_processes(mark):
        try:
            count += process.name() == "raylet"
        except psutil.NoSuchProcess:
            continue
    return max(0, count - 1)


class Story:
    """What changed when, since the load began."""

    def __init__(self, folder: Path, mark: str) -> None:
        self._folder, self._mark = folder, mark
        self._start = time.time()
        self._told = 0
        self._nodes = 0
        self.replicas = self.most = self.most_nodes = 0
        self.work, self.ready, self.asked, self.machines = (
            Line(name) for name in ("seconds of a replica", "running", "asked for", "GPU nodes")
        )

    def look(self) -> None:
        """Prints what is new."""
        for one in read_decisions(self._folder, int(self._start * 1e9))[self._told :]:
            self._told += 1
            self.replicas = max(one["running"], one["target"])
            self.most = max(self.most, one["running"])
            at = one["at_ns"] / 1e9 - self._start
            self.work.at(at, one["work_s"] or 0.0)
            self.ready.at(at, one["running"])
            self.asked.at(at, one["target"])
            print(f"{at:7.1f} s  {one['jobs']:2d} jobs {one['work_s']:6.1f} s of work: wanted {one['wanted']}, running "
                  f"{one['running']}, asked for {one['target']} ({one['reason']})", flush=True)  # fmt: skip
        if (now := nodes(self._mark)) != self._nodes:
            at = time.time() - self._start
            print(f"{at:7.1f} s  GPU nodes: {self._nodes} -> {now}", flush=True)
            self._nodes, self.most_nodes = now, max(now, self.most_nodes)
            self.machines.at(at, now)

    def figure(self) -> str:
        """The story as SVG."""
        panels = (("work that waits and runs", [self.work]), ("replicas", [self.ready, self.asked]), ("nodes", [self.machines]))
        return figure(panels, time.time() - self._start)

    @property
    def over(self) -> bool:
        """Everything is back at zero."""
        return self.replicas == 0 and self._nodes == 0


def tell(url: str, folder: Path, mark: str, order: dict[str, Any], jobs: int) -> Story:
    """Hands the jobs in at once and follows what happens until nothing is left. Raises SystemExit where it does not end."""
    story, started, done_at = Story(folder, mark), time.monotonic(), None
    with httpx.Client(base_url=url, timeout=60) as client:
        for seed in range(jobs):
            client.post(
                "/generate", json={"prompt": order | {"seed": seed}}, headers={"Prefer": "respond-async"}
            ).raise_for_status()
        while time.monotonic() - started < 420:
            story.look()
            states = [job["state"] for job in client.get("/jobs", params={"limit": 1000}).json()]
            if done_at is None and all(state in ("succeeded", "failed") for state in states):
                done_at = time.monotonic() - started
                story.work.at(done_at, 0.0)  # the log has no line for it while nothing else changes
                print(f"{done_at:7.1f} s  {states.count('succeeded')} of {len(states)} jobs succeeded", flush=True)
            if done_at is not None and story.over:
                print(f"{time.monotonic() - started:7.1f} s  no replica, no GPU node")
                succeeded = states.count("succeeded") / jobs
                keep(f"jobs done while replicas go from 0 to {story.most} and back", succeeded, "jobs", at_least=1.0)
                return story
            time.sleep(0.2)
    raise SystemExit("it did not come back to zero within 420 s")


def main() -> None:
    """Starts the cluster and the service, and prints the story."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--most", type=int, default=2, help="GPU nodes and replicas at most")
    parser.add_argument("--figure", type=Path, help="an SVG of the run")
    parser.add_argument("--tiny", action="store_true", help="a few jobs, to see that it works")
    asked = parser.parse_args()
    if asked.tiny:
        asked.jobs, asked.seconds, asked.most = 3, 2.0, 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was started is ended then, too
    mark = secrets.token_hex(8)
    stages = {"run_inference": {"num_cpus": 1, "num_gpus": 1, "min_replicas": 0, "max_replicas": asked.most}}
    with tempfile.TemporaryDirectory() as name, as_file(files("sonoscope") / "media") as media:
        folder = Path(name)
        env = {**os.environ, MARK: mark, "RAY_AUTH_MODE": "disabled", "RAY_FAKE_CLUSTER": "1", "RAY_enable_autoscaler_v2": "0"}
        env |= {"AUTOSCALER_UPDATE_INTERVAL_S": "1", "SONOSCOPE_RAY_AUTH_MODE": "disabled", "SONOSCOPE_DATA_DIR": name}
        env |= {
            "SONOSCOPE_PORT": "0",
            "SONOSCOPE_DASHBOARD": "false",
            "SONOSCOPE_CONSOLE": "false",
            "SONOSCOPE_FLOW_HOST": "127.0.0.1",
        }
        env |= {"SONOSCOPE_STAGES": json.dumps(stages), "SONOSCOPE_SCALING": json.dumps(RULES)}
        ray, address = fake_cluster(folder, asked.most, env)
        try:
            _answers(ray, address, folder)
            env["SONOSCOPE_RAY_ADDRESS"] = address
            subprocess.run([sys.executable, "-m", "sonoscope", "up", "-d"], env=env, check=True, stdout=subprocess.DEVNULL)
            run = read_run(folder)
            assert run is not None
            portrait, audio = media / "portrait_astronaut.png", clip(folder / "clip.wav", media / "speech_en.wav", asked.seconds)
            with httpx.Client(base_url=run.url, timeout=60) as client:
                ids = [client.post("/assets", files={"file": one.read_bytes()}).json()["asset_id"] for one in (portrait, audio)]
            order = {"portrait_image": ids[0], "audio_clip": ids[1], "min_resolution": 256, "duration": asked.seconds}
            story = tell(run.url, folder, mark, order, asked.jobs)
            keep("replicas at most", story.most / asked.most, "the allowed, all of them wanted", at_least=1.0)
            keep("GPU nodes at most", story.most_nodes / asked.most, "the allowed", at_least=1.0)
            if asked.figure:
                asked.figure.write_text(story.figure())
        finally:
            subprocess.run([sys.executable, "-m", "sonoscope", "down"], env=env, stdout=subprocess.DEVNULL)
            ray.terminate()
            end_processes(marked_processes(mark), 10.0)


if __name__ == "__main__":
    main()
