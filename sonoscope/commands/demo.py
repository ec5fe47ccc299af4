"""`sonoscope demo`: the whole path in one command."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path

from analytics.record import Record, load
from analytics.stores.local import LocalStore
from sonoscope.client import Client
from sonoscope.commands.common import errors, fail, out, settings
from sonoscope.commands.generate import make
from sonoscope.commands.up import report, start_detached
from sonoscope.run import Run
from sonoscope.show import show_record

SPEECH = {"en": "speech_en.wav", "zh": "speech_zh.wav"}


def demo(*, target: Path | None, language: str, data_dir: Path | None) -> None:
    """Starts the service, makes one video from the bundled media, prints its record, and leaves the service running."""
    if language not in SPEECH:
        fail(f"--language must be {' or '.join(SPEECH)}")
    configured = settings(data_dir=data_dir)
    run = start_detached(configured)
    video = (target or Path(f"sonoscope-demo-{language}.mp4")).resolve()
    media = files("sonoscope") / "media"
    bundled = (as_file(media / "portrait_astronaut.png"), as_file(media / SPEECH[language]))
    with bundled[0] as portrait, bundled[1] as speech, errors(), Client(run.url) as client:
        job = make(client, portrait, speech, video, {})
    record = load(LocalStore(configured.journal_dir), job.request_id)
    assert record is not None
    _print(record, video, run)


def _print(record: Record, target: Path, run: Run) -> None:
    show_record(record, out)
    out.print()
    out.print(f"Video      [bold]{target}[/bold]", soft_wrap=True)
    out.print(f"Record     sonoscope record {record.request['request_id']}")
    report(run)
