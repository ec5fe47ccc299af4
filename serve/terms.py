"""The terms that a request states in its headers: how long it may take, how it ranks, whom to tell, which key it has."""

from __future__ import annotations

import hashlib
import json
import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from serve.settings import Settings
from serve.targets import Forbidden, resolve
from telemetry.errors import RequestError

PRIORITIES = {"low": -1, "normal": 0, "high": 1}
"""Names of X-Priority. Batch work is `low`."""
_KEY = re.compile(r"[\x21-\x7e]{1,128}")

HEADERS: list[dict[str, Any]] = [
    {"name": name, "in": "header", "required": False, "description": words, "schema": {"type": kind, **more}}
    for name, kind, words, more in (
        ("Prefer", "string", "respond-async answers 202 at once; wait=N after N seconds at most", {}),
        ("Idempotency-Key", "string", "the same key and order give the same job, however often it is sent", {"maxLength": 128}),
        ("X-Priority", "string", "what goes first, and what is refused first when much waits", {"enum": list(PRIORITIES)}),
        ("X-Deadline-Seconds", "number", "after so long the result is of no use: the work is given up", {"minimum": 0}),
        (
            "X-Consent-Reference",
            "string",
            "where the consent of who is seen and heard lies (audit trail)",
            {"maxLength": 128},
        ),
        ("X-Webhook-URL", "string", "called when the job has ended", {"format": "uri"}),
    )
]
"""The headers of POST /generate for OpenAPI."""


@dataclass(frozen=True)
class Terms:
    """What the headers say. `deadline` is seconds since 1970."""

    deadline: float
    priority: int
    idempotency_key: str | None
    webhook_url: str | None
    consent_reference: str | None


async def read_terms(request: Request, settings: Settings, owner_hash: str) -> Terms:
    """The terms of a request. Raises RequestError(invalid_parameter) that names the header."""
    return Terms(
        deadline=deadline_of(request, settings),
        priority=_priority(request, settings),
        idempotency_key=_key(request, owner_hash),
        webhook_url=await _webhook(request, settings),
        consent_reference=_consent(request),
    )


def _consent(request: Request) -> str | None:
    name = "X-Consent-Reference"
    given = request.headers.get(name)
    if given is not None and (not 1 <= len(given) <= 128 or not given.isprintable()):
        raise RequestError("invalid_parameter", f"{name} must be 1 to 128 printable characters.", field=name)
    return given


def content_hash(ordered: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    """What an idempotency key stands for: parameters as used, labels, inputs. A seed that was not `given` plays no part."""
    fixed = {name: value for name, value in ordered.items() if name != "seed" or given.get("seed") not in (None, "")}
    return hashlib.sha256(json.dumps(fixed, sort_keys=True, default=str).encode()).hexdigest()


def deadline_of(request: Request, settings: Settings) -> float:
    """Seconds since 1970: X-Deadline-Seconds from now, else the setting's. Raises RequestError(invalid_parameter)."""
    asked = request.headers.get("x-deadline-seconds")
    try:
        seconds = settings.deadline_s if asked is None else float(asked)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= 86_400:
        raise RequestError("invalid_parameter", "X-Deadline-Seconds must be a number, 0 to 86400.", field="X-Deadline-Seconds")
    return time.time() + seconds


def _priority(request: Request, settings: Settings) -> int:
    """Until there is access control, `high` is believed on loopback only, as X-Owner is."""
    asked = request.headers.get("x-priority", "normal").strip().lower()
    if asked not in PRIORITIES:
        raise RequestError("invalid_parameter", f"X-Priority must be one of {', '.join(PRIORITIES)}.", field="X-Priority")
    return PRIORITIES[asked] if settings.on_loopback else min(0, PRIORITIES[asked])


def _key(request: Request, owner_hash: str) -> str | None:
    """The key as it is stored: two owners may use the same one."""
    given = request.headers.get("idempotency-key")
    if given is None:
        return None
    if not _KEY.fullmatch(given):
        words = "Idempotency-Key must be 1 to 128 printable ASCII characters without spaces."
        raise RequestError("invalid_parameter", words, field="Idempotency-Key")
    return hashlib.sha256(f"{owner_hash}\0{given}".encode()).hexdigest()


async def _webhook(request: Request, settings: Settings) -> str | None:
    url = request.headers.get("x-webhook-url")
    if url is None:
        return None
    try:
        await resolve(url, allow_private=settings.webhook_allow_private)
    except Forbidden as refused:
        hint = "Name an address that the public internet reaches, or set webhook_allow_private where the network is trusted."
        raise RequestError("invalid_parameter", f"X-Webhook-URL: {refused}.", field="X-Webhook-URL", hint=hint) from None
    return url
