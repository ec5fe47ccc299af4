"""The Python client: what the command line itself uses."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from serve.schema import AssetAnswer, GenerateAnswer, JobAnswer, RecognizeAnswer
from telemetry.errors import ERROR_TYPES, RequestError

_BLOCK = 1 << 20


def authorization(api_key: str | None = None) -> dict[str, str]:
    """The header that shows a key: the one given, else that of $SONOSCOPE_API_KEY; empty where there is neither."""
    key = api_key or os.environ.get("SONOSCOPE_API_KEY")
    return {"Authorization": f"Bearer {key}"} if key else {}


class Unreachable(Exception):
    """No service answers at the address."""


class Client:
    """A typed client of one service. Raises RequestError for what the service refuses, Unreachable where none answers.

    `api_key`: for a service that asks for one; by default that of $SONOSCOPE_API_KEY.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        *,
        timeout_s: float = 30.0,
        headers: Mapping[str, str] | None = None,
        api_key: str | None = None,
    ):
        sent = authorization(api_key) | dict(headers or {})
        # Answers of a synchronous generation take as long as the generation; only connecting is bounded.
        self._http = httpx.Client(base_url=url, timeout=httpx.Timeout(None, connect=timeout_s), headers=sent)
        self.url = url

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connections."""
        self._http.close()

    def generate(self, portrait: Path, audio: Path, **parameters: Any) -> GenerateAnswer:
        """Makes a video and waits for it."""
        return GenerateAnswer.model_validate(self._submit(portrait, audio, parameters, {}))

    def submit(self, portrait: Path, audio: Path, *, headers: Mapping[str, str] | None = None, **parameters: Any) -> JobAnswer:
        """Hands a job in and returns at once."""
        return JobAnswer.model_validate(self._submit(portrait, audio, parameters, {"Prefer": "respond-async", **(headers or {})}))

    def order(self, portrait: str, audio: str, *, headers: Mapping[str, str] | None = None, **parameters: Any) -> JobAnswer:
        """Hands a job in whose inputs are asset ids, and returns at once."""
        prompt = {"portrait_image": portrait, "audio_clip": audio, **parameters}
        asked = {"Prefer": "respond-async", **(headers or {})}
        return JobAnswer.model_validate(self._call("POST", "/generate", json={"prompt": prompt}, headers=asked))

    def watch(self, job_id: str) -> Iterator[JobAnswer]:
        """The job whenever it changes; the last one is final."""
        try:
            with self._http.stream("GET", f"/jobs/{job_id}/events") as answer:
                if answer.is_error:
                    answer.read()
                self._check(answer)
                for line in answer.iter_lines():
                    if line.startswith("data: "):
                        yield JobAnswer.model_validate_json(line.removeprefix("data: "))
        except httpx.TransportError as error:
            raise Unreachable(f"{self.url}: {error}") from error

    def job(self, id: str) -> JobAnswer:
        """A job by job id or request id."""
        return JobAnswer.model_validate(self._call("GET", f"/jobs/{id}"))

    def jobs(self, *, limit: int = 100) -> list[JobAnswer]:
        """The newest jobs, newest first."""
        return [JobAnswer.model_validate(one) for one in self._call("GET", "/jobs", params={"limit": limit})]

    def cancel(self, job_id: str) -> JobAnswer:
        """Asks for a job to be stopped at its next step."""
        return JobAnswer.model_validate(self._call("DELETE", f"/jobs/{job_id}"))

    def retry(self, job_id: str) -> JobAnswer:
        """Makes a failed or cancelled job once more; returns the new job."""
        return JobAnswer.model_validate(self._call("POST", f"/jobs/{job_id}/retry"))

    def upload(self, path: Path) -> AssetAnswer:
        """Stores a file, to be used by its id."""
        with path.open("rb") as file:
            return AssetAnswer.model_validate(self._call("POST", "/assets", files={"file": (path.name, file)}))

    def upload_bytes(self, content: bytes, name: str) -> AssetAnswer:
        """Stores what is in memory under the name of a file, to be used by its id."""
        return AssetAnswer.model_validate(self._call("POST", "/assets", files={"file": (name, content)}))

    def asset(self, asset_id: str) -> AssetAnswer | None:
        """An upload by its id, None where the service has it no more."""
        try:
            return AssetAnswer.model_validate(self._call("GET", f"/assets/{asset_id}"))
        except RequestError as error:
            if error.type != "asset_not_found":
                raise
            return None

    def score(self, request_id: str, user_score: int, user_comment: str | None = None) -> None:
        """Leaves a person's judgement (-1, 0, 1) of a request that has ended, by request or job id; the last one counts."""
        self._call("POST", f"/requests/{request_id}/score", json={"user_score": user_score, "user_comment": user_comment})

    def recognize(self, pictures: Sequence[Path], **labels: Any) -> RecognizeAnswer:
        """Says what is on each picture. One alone that fails raises RequestError; of several, each has its own error in the answer.

        `labels`: source_prefix and others of `telemetry.fields.LABELS`. Raises OSError where a file cannot be read.
        """
        data = {name: _form_value(value) for name, value in labels.items() if value is not None}
        with contextlib.ExitStack() as stack:
            files = [("image", (path.name, stack.enter_context(path.open("rb")))) for path in pictures]
            return RecognizeAnswer.model_validate(self._call("POST", "/recognize", files=files, data=data))

    def download(self, request_id: str, path: Path) -> int:
        """Fetches a finished video; returns its size in bytes. The file appears whole or not at all."""
        part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
        size = 0
        try:
            with self._http.stream("GET", f"/videos/{request_id}.mp4") as answer, part.open("xb") as file:
                if answer.is_error:
                    answer.read()
                self._check(answer)
                for block in answer.iter_bytes(_BLOCK):
                    size += file.write(block)
            part.replace(path)
        except httpx.TransportError as error:
            raise Unreachable(f"{self.url}: {error}") from error
        finally:
            part.unlink(missing_ok=True)
        return size

    def ready(self) -> bool:
        """True when every stage answers."""
        try:
            return self._http.get("/readyz").status_code == 200
        except httpx.TransportError:
            return False

    def _submit(self, portrait: Path, audio: Path, parameters: Mapping[str, Any], headers: Mapping[str, str]) -> Any:
        data = {name: _form_value(value) for name, value in parameters.items() if value is not None}
        with portrait.open("rb") as picture, audio.open("rb") as sound:
            files = {"portrait": (portrait.name, picture), "audio": (audio.name, sound)}
            return self._call("POST", "/generate", files=files, data=data, headers=headers)

    def _call(self, method: str, path: str, **arguments: Any) -> Any:
        try:
            answer = self._http.request(method, path, **arguments)
        except httpx.TransportError as error:
            raise Unreachable(f"{self.url}: {error}") from error
        self._check(answer)
        return answer.json()

    @staticmethod
    def _check(answer: httpx.Response) -> None:
        if not answer.is_error:
            return
        try:
            body = answer.json()["error"]
        except (json.JSONDecodeError, KeyError, TypeError):
            raise RequestError("internal", f"HTTP {answer.status_code}: {answer.text[:200]}") from None
        kind = body["type"] if body["type"] in ERROR_TYPES else "internal"
        raise RequestError(kind, body["message"], field=body["field"], hint=body["hint"])


def _form_value(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
