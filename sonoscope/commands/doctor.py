"""`sonoscope doctor`: what is installed and what works, what is missing and how to get it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

import typer
from rich.table import Table

from serve.settings import Settings
from sonoscope.commands.common import out, print_json, settings
from sonoscope.run import read_run
from telemetry.errors import RequestError
from telemetry.forward import read_status
from telemetry.losses import read_losses

State = Literal["ok", "missing", "note"]
_MARKS = {"ok": "[green]ok[/green]", "missing": "[red]missing[/red]", "note": "[yellow]note[/yellow]"}


_SHIP = "sonoscope up, or sonoscope forward"
_SILENT_S = 30.0
"""The forwarder writes its status every second; a machine that is busy to the brim may let it wait."""


@dataclass(frozen=True)
class Finding:
    """One line of the report: what was looked at, how it is, and the way out where it is not well."""

    name: str
    state: State
    detail: str
    remedy: str = ""


def doctor(*, data_dir: Path | None, as_json: bool) -> None:
    """Prints the findings; ends with 1 where something needed is missing."""
    configured = settings(data_dir=data_dir)
    findings = [finding for check in CHECKS for finding in check(configured)]
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
        for finding in findings:
            remedy = f"\n[dim]{finding.remedy}[/dim]" if finding.remedy else ""
            table.add_row(_MARKS[finding.state], finding.name, finding.detail + remedy)
        out.print(table)
    if any(finding.state == "missing" for finding in findings):
        raise typer.Exit(1)


def _packages(_: Settings) -> Iterator[Finding]:
    wanted = {
        "serve": ("ray", "torch", "fastapi", "opencv-python-headless", "av", "imageio-ffmpeg"),
        "console": ("streamlit", "plotly"),
    }
    for extra, names in wanted.items():
        for name in names:
            try:
                yield Finding(name, "ok", version(name))
            except PackageNotFoundError:
                yield Finding(name, "missing" if extra == "serve" else "note", "not installed", f"pip install 'sonoscope[{extra}]'")


def _device(_: Settings) -> Iterator[Finding]:
    if importlib.util.find_spec("torch") is None:
        return
    import torch

    if torch.cuda.is_available():
        yield Finding("device", "ok", f"{torch.cuda.get_device_name(0)}, {torch.cuda.device_count()} in all")
    else:
        yield Finding("device", "ok", f"CPU, {len(os.sched_getaffinity(0))} cores (no GPU that torch can use)")


def _models(_: Settings) -> Iterator[Finding]:
    if importlib.util.find_spec("cv2") is None:
        return
    from deployments.models.facemesh import FaceMesh

    try:
        FaceMesh()
    except RequestError as error:
        yield Finding("face models", "missing", error.message, "Install the package again: its weights were changed.")
    else:
        yield Finding("face models", "ok", "checksums agree")


def _encoder(_: Settings) -> Iterator[Finding]:
    if importlib.util.find_spec("imageio_ffmpeg") is None:
        return
    from deployments.media.encoder import pick_encoder

    yield Finding("video encoder", "ok", pick_encoder())


def _service(configured: Settings) -> Iterator[Finding]:
    run = read_run(configured.data_dir)
    if run is not None and run.alive:
        yield Finding("service", "ok", f"{run.url} (process {run.pid})")
        return
    yield Finding("service", "note", "not running", "sonoscope up -d")
    ports = {"port": (configured.host, configured.port), "dashboard_port": ("127.0.0.1", configured.dashboard_port)}
    for name, (host, port) in ports.items():
        free = _free(host, port)
        remedy = "" if free else f"Choose another: SONOSCOPE_{name.upper()}=0 takes any free one."
        yield Finding(name, "ok" if free else "note", f"{host}:{port} is {'free' if free else 'taken'}", remedy)


def _free(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def _data(configured: Settings) -> Iterator[Finding]:
    folder = configured.data_dir
    if not folder.exists():
        yield Finding("data", "ok", f"{folder} (made at the first start)")
        return
    free = shutil.disk_usage(folder).free / 2**30
    state: State = "ok" if free > 1 else "note"
    yield Finding(
        "data", state, f"{folder}, {free:.1f} GiB free", "" if free > 1 else "Free some space: videos and telemetry will be lost."
    )
    losses = read_losses(configured.journal_dir)
    lost = losses["spans_lost"] + losses["events_lost"] + losses["telemetry_errors"]
    detail = ", ".join(f"{name} {losses[name]}" for name in ("spans_lost", "events_lost", "telemetry_errors"))
    yield Finding("telemetry", "note" if lost else "ok", detail, f"last: {losses['last_error']}" if lost else "")


def _forwarder(configured: Settings) -> Iterator[Finding]:
    if not configured.forwarded:
        return
    status = read_status(configured.data_dir)
    if status is None:
        yield Finding("forwarder", "note", f"{' and '.join(configured.forwarded)} never shipped", _SHIP)
        return
    silent = time.time() - status["at"]
    if silent > _SILENT_S:
        yield Finding("forwarder", "note", f"last heard of {silent:.0f} s ago", _SHIP)
    if status["over_bound"]:
        remedy = "Nothing is deleted: free some space, and see below why it is not taken."
        yield Finding("forwarder", "missing", "undelivered telemetry is beyond forward_max_backlog_bytes", remedy)
    for name, kind in status["kinds"].items():
        lost = kind["vanished"] + kind.get("rejected", 0)
        well = kind["state"] in ("ok", "idle") and not kind["set_aside"] and not lost
        detail = f"{kind['delivered']} delivered to {kind['address']}, {kind['lag_bytes']} bytes ({kind['lag_s']:.0f} s) behind"
        detail += f", {kind['set_aside']} set aside in {configured.data_dir / 'set_aside'}" if kind["set_aside"] else ""
        detail += f", {lost} lost" if lost else ""
        yield Finding(f"{name} forwarded", "ok" if well else "note", detail, "" if well else kind["last_error"])


CHECKS: tuple[Callable[[Settings], Iterator[Finding]], ...] = (
    _packages,
    _device,
    _models,
    _encoder,
    _service,
    _data,
    _forwarder,
)
