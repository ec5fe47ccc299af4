"""What stands in a request's message: its order, its idempotency key and its place in a trace; and why one cannot be read."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from telemetry.errors import RequestError
from telemetry.ids import parse_traceparent
from telemetry.text_json import read_object

KEY_HEADER = "idempotency-key"
_INPUTS = {"portrait": "portrait", "portrait_image": "portrait", "audio": "audio", "audio_clip": "audio"}
_TERMS = {"x-priority": "X-Priority", "x-deadline-seconds": "X-Deadline-Seconds", "x-department": "X-Department"}
"""Headers of a message that are handed on as headers of the HTTP request."""
_HEADER = re.compile(r"[!-~](?:[ -~]*[!-~])?|")


@dataclass(frozen=True)
class Received:
    """A message as Kafka has it. `timestamp_ms` as the producer (or the broker) set it."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes
    headers: Sequence[tuple[str, bytes | None]]

    def header(self, name: str) -> str | None:
        """The last header of this name, in any case; None where it is missing or no text."""
        found = [value for key, value in self.headers if key.lower() == name]
        try:
            return found[-1].decode() if found and found[-1] is not None else None
        except UnicodeDecodeError:
            return None

    @property
    def idempotency_key(self) -> str:
        """Its `idempotency-key` header, else one made of where it lies and when it was written.

        The time is in it because a topic that was deleted and made again counts its offsets from 0 again.
        """
        where = f"{self.topic}\0{self.partition}\0{self.offset}\0{self.timestamp_ms}"
        return self.header(KEY_HEADER) or f"kafka-{hashlib.sha256(where.encode()).hexdigest()[:48]}"

    @property
    def traceparent(self) -> str:
        """The span of its consumption, in the producer's trace. Always the same: what is consumed twice is one span."""
        digest = hashlib.sha256(f"{self.topic}\0{self.partition}\0{self.offset}\0{self.timestamp_ms}".encode()).hexdigest()
        above = parse_traceparent(self.header("traceparent"))
        return f"00-{above[0] if above else digest[:32]}-{digest[32:48]}-01"

    @property
    def parent(self) -> str | None:
        """The producer's span, where it sent a valid one."""
        sent = self.header("traceparent")
        return sent if parse_traceparent(sent) else None


@dataclass(frozen=True)
class Order:
    """What is asked for: each input by its asset id (str) or as the bytes themselves, parameters and labels, and HTTP terms."""

    inputs: Mapping[str, str | bytes]
    parameters: Mapping[str, Any]
    terms: Mapping[str, str]


def read_order(message: Received, max_bytes: int) -> Order:
    """The order in a message: `{"prompt": {…}}` as POST /generate has it, or the inside of prompt alone.

    An input is an asset id (64 hexadecimal digits) or `{"base64": "…"}`. Raises RequestError that names the field: too_large,
    invalid_parameter. What the parameters may be is for the service to say.
    """
    for name in (KEY_HEADER, *_TERMS):
        text = message.header(name)
        if text is not None and not _HEADER.fullmatch(text):  # no HTTP request could carry it
            raise RequestError("invalid_parameter", f"The header {name} is not printable ASCII.", field=name)
    if len(message.value) > max_bytes:
        words = f"The message has {len(message.value)} bytes; at most {max_bytes} are read."
        raise RequestError("too_large", words, hint="Upload the files with POST /assets and send their ids.")
    sent = _json(message.value)
    if isinstance(inside := sent.pop("prompt", None), dict):
        if twice := inside.keys() & sent.keys():
            raise RequestError("invalid_parameter", f"{sorted(twice)[0]} was given twice.", field=sorted(twice)[0])
        sent |= inside
    elif inside is not None:
        raise RequestError("invalid_parameter", "prompt is no JSON object.", field="prompt")
    for name in ("self", "headers"):  # names of ours, never a parameter's
        if name in sent:
            raise RequestError("invalid_parameter", f"{name} is not a parameter.", field=name)
    inputs: dict[str, str | bytes] = {}
    for name in [name for name in sent if name in _INPUTS]:
        if _INPUTS[name] in inputs:
            raise RequestError("invalid_parameter", f"{_INPUTS[name]} was given twice.", field=name)
        inputs[_INPUTS[name]] = _input(name, sent.pop(name))
    for name in ("portrait", "audio"):
        if name not in inputs:
            hint = f'Send {name} as an asset id, or as {{"base64": "…"}}.'
            raise RequestError("invalid_parameter", f"{name} is missing.", field=name, hint=hint)
    return Order(inputs, sent, {http: text for name, http in _TERMS.items() if (text := message.header(name))})


def _json(value: bytes) -> dict[str, Any]:
    try:
        return read_object(value, nan=False)
    except ValueError as error:
        raise RequestError("invalid_parameter", f"The message is {error}.", hint="docs/kafka.md shows a request.") from None


def _input(name: str, given: Any) -> str | bytes:
    if isinstance(given, str):
        return given  # whether it is an id, and whether it is there, the service knows
    if isinstance(given, dict) and given.keys() == {"base64"} and isinstance(given["base64"], str):
        try:
            content = base64.b64decode(given["base64"], validate=True)
        except ValueError:
            raise RequestError("invalid_parameter", f"{name} is not base64.", field=name) from None
        if not content:
            raise RequestError("invalid_parameter", f"{name} is empty.", field=name)
        return content
    raise RequestError("invalid_parameter", f'{name} must be an asset id or {{"base64": "…"}}.', field=name)
