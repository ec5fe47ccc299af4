"""`sonoscope up` and `down`."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
from pathlib import Path

import httpx

from serve.keys import KeyTable
from serve.settings import Settings
from sonoscope.commands.alerts import validated
from sonoscope.commands.common import err, fail, out, settings
from sonoscope.run import Run, read_run
from sonoscope.supervisor import AlreadyRunning, PortTaken, Supervisor, bring_down

READY_S = 180.0
"""A first start on a busy two-core machine took 35 s."""


def up(*, detach: bool, port: int | None, host: str | None, data_dir: Path | None) -> None:
    """Starts the service, in this process or detached."""
    if importlib.util.find_spec("ray") is None:
        fail("Ray is not installed", "pip install 'sonoscope[serve]'")
    configured = settings(data_dir=data_dir, port=port, host=host)
    if configured.faults_file is not None:
        err.print(f"[bold red]Faults are injected on purpose[/], by {configured.faults_file.name}: videos will be wrong.")
    validated(configured)
    if configured.locked and configured.oidc is None and not _has_key(configured):
        fail(
            "this service asks for API keys, and there is none",
            "Make one (sonoscope keys add NAME --department DEPARTMENT --role operator), or name an issuer (setting oidc).",
        )
    if detach:
        report(start_detached(configured))
        return
    try:
        supervisor = Supervisor(configured, lambda line: err.print(line))
    except PortTaken as error:
        fail(str(error))
    out.print(f"Starting on {supervisor.run.url} (Ctrl-C ends it; logs in {configured.data_dir / 'logs'})")
    try:
        supervisor.serve_forever()
    except AlreadyRunning as error:
        fail(str(error))


def _has_key(configured: Settings) -> bool:
    configured.prepare()
    return KeyTable(configured.jobs_url).any_valid()


def start_detached(configured: Settings) -> Run:
    """Starts a supervisor in the background and waits until the service answers; a run that is up already is used as it is."""
    run = read_run(configured.data_dir)
    if run is not None and run.alive:
        return _wait_ready(configured, None)
    configured.prepare()
    log = configured.data_dir / "logs" / "supervisor.log"
    log.parent.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "sonoscope", "up", "--data-dir", str(configured.data_dir)]
    command += ["--port", str(configured.port), "--host", configured.host]
    with log.open("ab") as sink:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, start_new_session=True)
    return _wait_ready(configured, process)


def _wait_ready(configured: Settings, process: subprocess.Popen[bytes] | None) -> Run:
    deadline = time.monotonic() + READY_S
    with err.status("Starting Ray and the service…") as status:
        started = time.monotonic()
        while time.monotonic() < deadline:
            if process is not None and process.poll() is not None:
                log = (configured.data_dir / "logs" / "supervisor.log").read_text().strip().splitlines()
                fail(
                    "the service did not start: " + (log[-1] if log else "no reason given"), f"Logs: {configured.data_dir / 'logs'}"
                )
            run = read_run(configured.data_dir)
            if run is not None and run.alive and _ready(run.url):
                return run
            status.update(f"Starting Ray and the service… {time.monotonic() - started:.0f} s")
            time.sleep(0.2)
    fail(f"the service did not answer within {READY_S:.0f} s", f"Look at {configured.data_dir / 'logs' / 'service.log'}")


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=5.0).status_code == 200
    except httpx.TransportError:
        return False


def report(run: Run) -> None:
    """Says where everything is and how to stop it."""
    out.print(f"Service    {run.url}   (API: {run.url}/docs)")
    if run.grpc_address:
        out.print(f"gRPC       {run.grpc_address}")
    if run.console_url:
        out.print(f"Console    {run.console_url}")
    if run.dashboard_url:
        token = f"   (token: {run.token_path})" if run.token_path else ""
        out.print(f"Ray        {run.dashboard_url}{token}", soft_wrap=True)
    out.print("Stop it with [bold]sonoscope down[/bold].")


def down(data_dir: Path | None) -> None:
    """Ends the run of the data folder."""
    with err.status("Stopping…"):
        run = bring_down(settings(data_dir=data_dir).data_dir)
    out.print("Nothing was running." if run is None else f"Stopped {run.url}.")
