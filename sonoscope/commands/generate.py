"""`sonoscope generate`: hand a job in, watch it, fetch the video."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from serve.schema import JobAnswer
from sonoscope.client import Client
from sonoscope.commands.common import err, errors, out, print_json, service_url
from telemetry.errors import RequestError


def generate(
    portrait: Path,
    audio: Path,
    target: Path,
    parameters: Mapping[str, Any],
    *,
    deadline: float | None,
    url: str | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Makes a video and prints where it is, or its answer as JSON."""
    with errors(as_json), Client(service_url(url, data_dir)) as client:
        answer = make(client, portrait, audio, target, parameters, deadline=deadline)
        assert answer.result is not None
        if as_json:
            print_json(answer.result.model_dump())
            return
        for code in answer.result.advice:
            out.print(f"[yellow]advice:[/yellow] {code}")
        video = answer.result.outcomes
        size = f"{video['width']}x{video['height']}"
        out.print(f"{target}  {video['video_s']:.2f} s, {size}, made in {video['latency_s']:.2f} s", soft_wrap=True)
        out.print(f"[dim]sonoscope record {answer.request_id}[/dim]")


def make(
    client: Client, portrait: Path, audio: Path, target: Path, parameters: Mapping[str, Any], *, deadline: float | None = None
) -> JobAnswer:
    """Runs one job with a live bar for steps and frames, and downloads its video to `target`.

    Ctrl-C cancels the job. Raises RequestError where the job fails.
    """
    headers = {} if deadline is None else {"X-Deadline-Seconds": str(deadline)}
    job = client.submit(portrait, audio, headers=headers, **parameters)
    try:
        job = _watch(client, job)
    except KeyboardInterrupt:
        client.cancel(job.job_id)
        raise
    if job.error is not None:
        raise RequestError(job.error.type, job.error.message, field=job.error.field, hint=job.error.hint)
    client.download(job.request_id, target)
    return job


def _watch(client: Client, job: JobAnswer) -> JobAnswer:
    columns = (TextColumn("{task.description:<20}"), BarColumn(), TextColumn("{task.fields[count]:>12}"), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True) as progress:
        state = progress.add_task("queued", total=None, count="")
        steps = progress.add_task("denoising", total=None, count="", visible=False)
        frames = progress.add_task("encoding", total=None, count="", visible=False)
        for job in client.watch(job.job_id):  # noqa: B020  (the newest state is the one to return)
            progress.update(state, description=job.stage or job.state, count=_place(job))
            _show(progress, steps, job.step, job.steps)
            _show(progress, frames, job.frames, job.frames_total)
    return job


def _show(progress: Progress, task: TaskID, done: int | None, total: int | None) -> None:
    if done is not None and total is not None:
        progress.update(task, completed=done, total=total, count=f"{done}/{total}", visible=True)


def _place(job: JobAnswer) -> str:
    return f"{job.queue_position} before" if job.queue_position else ""
