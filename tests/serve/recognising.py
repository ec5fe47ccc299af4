"""The front door of recognition and what stands behind it in one process: everything but Ray."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import orjson
import skimage
from fastapi import FastAPI
from starlette.requests import Request

from deployments.artifacts import artifacts_at
from deployments.messages import PictureAnswer, PictureTask
from deployments.models.recogniser import Recogniser
from deployments.models.recogniser_lite import EfficientNetLite
from serve.answers import Identified, install_errors
from serve.jobs import JobTable
from serve.settings import Settings
from serve.uploads import AssetStore
from telemetry.redact import Redactor
from telemetry.segments import Kind, read_lines
from telemetry.tables import attributes
from telemetry.tracing import Telemetry, setup

SAMPLES = Path(skimage.__file__).parent / "data"
File = tuple[str, bytes]


@cache
def recogniser() -> Recogniser:
    """One for the whole session."""
    return Recogniser(EfficientNetLite(Path(tempfile.mkdtemp(prefix="recogniser-"))))


def picture(name: str) -> File:
    """A picture of scikit-image under its own name."""
    return name, (SAMPLES / name).read_bytes()


class Handle:
    """As a deployment handle: `remote` may be awaited."""

    def __init__(self, pictures: Any) -> None:
        self._pictures = pictures

    async def remote(self, tasks: Sequence[PictureTask]) -> list[PictureAnswer]:
        return await self._pictures.run(tasks)


@dataclass
class Recognising:
    """A service in this process."""

    app: FastAPI
    telemetry: Telemetry
    settings: Settings
    table: JobTable

    def post(self, *files: File, headers: dict[str, str] | None = None, **form: Any) -> httpx.Response:
        """POST /recognize with these files."""
        return self.post_all([(files, form, headers or {})])[0]

    def post_all(self, requests: Sequence[tuple[Sequence[File], dict[str, Any], dict[str, str]]]) -> list[httpx.Response]:
        """Several requests at once."""

        async def run() -> list[httpx.Response]:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://test") as client:
                calls = [
                    client.post("/recognize", files=[("image", file) for file in files] or None, data=form, headers=headers)
                    for files, form, headers in requests
                ]
                return await asyncio.gather(*calls)

        return asyncio.run(run())

    def post_json(self, body: Any) -> httpx.Response:
        """POST /recognize with a body of JSON."""

        async def run() -> httpx.Response:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://test") as client:
                return await client.post("/recognize", json=body)

        return asyncio.run(run())

    def events(self) -> list[dict[str, Any]]:
        return [orjson.loads(line) for line in self._lines("events")]

    def spans(self) -> list[dict[str, Any]]:
        """Each span as OTLP has it, its attributes as a plain dict."""
        spans = [orjson.loads(line)["resourceSpans"][0]["scopeSpans"][0]["spans"][0] for line in self._lines("spans")]
        return [span | {"attributes": attributes(span["attributes"])} for span in spans]

    def _lines(self, kind: Kind) -> list[bytes]:
        return list(read_lines(self.settings.journal_dir, kind))


def recognising(data_dir: Path, **given: Any) -> Recognising:
    """A service with its data in a folder and these settings. Ray's own models warn when they are imported: not before here."""
    from deployments.config import StageConfig
    from deployments.recognize import Pictures
    from serve.admission import Admission
    from serve.recognition import Recognition

    settings = Settings(data_dir=data_dir, **given)
    settings.prepare()
    telemetry, table, assets = setup("test", data_dir), JobTable(settings.jobs_url), AssetStore(artifacts_at(settings.place))
    redactor = Redactor(b"k" * 32)
    door = Admission(settings, table, assets, telemetry, redactor)
    config = StageConfig(data_dir, faults_file=settings.faults_file)
    pictures = Pictures(config, recogniser(), {"replica": "r1", "host": "h1", "device": "cpu"})
    recognition = Recognition(settings, door, assets, telemetry, redactor, Handle(pictures))  # pyright: ignore[reportArgumentType]
    app = FastAPI()
    app.add_middleware(Identified)
    install_errors(app)

    @app.post("/recognize")
    async def recognize(request: Request) -> Any:
        return await recognition.answer(request)

    return Recognising(app, telemetry, settings, table)
