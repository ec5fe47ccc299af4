"""The commands `sonoscope alerts …`. Only declarations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sonoscope.options import DataDir, Json

app = typer.Typer(help="Watch requests, and tell people (docs/alerts.md).", no_args_is_help=True)
File = Annotated[
    Path | None, typer.Option("--file", exists=True, dir_okay=False, help="The alerts (default: $SONOSCOPE_ALERTS_FILE).")
]


@app.command("check")
def check(
    file: File = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Send nothing now; what is due waits for the next look.")] = False,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Look once: print what was read and what fires, and send what is due."""
    from sonoscope.commands import alerts as command

    command.check(file=file, dry_run=dry_run, data_dir=data_dir, as_json=as_json)


@app.command("watch")
def watch(
    file: File = None,
    for_s: Annotated[float | None, typer.Option("--for", help="End after so many seconds.")] = None,
    data_dir: DataDir = None,
) -> None:
    """Look again and again (`up` does it by itself where a file of alerts is set)."""
    from sonoscope.commands import alerts as command

    command.watch(file=file, for_s=for_s, data_dir=data_dir)


@app.command("test")
def send_test(
    file: File = None,
    sink: Annotated[str | None, typer.Option(help="Only this one.")] = None,
    data_dir: DataDir = None,
) -> None:
    """Send a test message to every sink."""
    from sonoscope.commands import alerts as command

    command.test(file=file, sink=sink, data_dir=data_dir)


@app.command("silence")
def silence(
    alert: Annotated[str, typer.Argument(help="The alert, or * for all.")],
    for_: Annotated[str, typer.Option("--for", help="How long: 30m, 2h, 1d.")] = "1h",
    comment: Annotated[str, typer.Option(help="Why.")] = "",
    end: Annotated[bool, typer.Option("--end", help="Let it speak again.")] = False,
    file: File = None,
    data_dir: DataDir = None,
) -> None:
    """Hold the messages of an alert back for a while."""
    from sonoscope.commands import alerts as command

    command.silence(alert, for_=for_, comment=comment, end=end, file=file, data_dir=data_dir)
