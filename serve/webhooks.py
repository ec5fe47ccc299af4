"""Tells a client's address that its job has ended: signed, tried again with back-off, and kept in the table across restarts.

The message follows Standard Webhooks (https://www.standardwebhooks.com): headers `webhook-id` (the job's id, the same at every
try), `webhook-timestamp`, `webhook-signature` (`v1,` and the HMAC-SHA256 of `id.timestamp.body` in base64).
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import orjson
import sqlalchemy as sa

from serve.jobs import JobTable, Row
from serve.tables import WEBHOOKS
from serve.targets import Forbidden, resolve
from telemetry.values import rfc3339

_log = logging.getLogger("ray.serve")

MAX_TRIES = 8
"""With a back-off of 5 s, four times as long each time and at most 6 h: the last try is 14 hours after the first."""
LONGEST_S = 6 * 3600.0
TIMEOUT_S = 10.0
"""A receiver that takes longer is told again: it should take the message in first and work afterwards."""
AT_ONCE = 8
"""Messages on their way at a time: a slow receiver must not hold up the others."""


class WebhookTable:
    """Blocking access to what is still to be told. Messages that are taken are somebody's for a minute."""

    def __init__(self, table: JobTable):
        self._engine = table.engine

    def take(self, limit: int) -> list[Row]:
        """The messages that are due, taken so that nobody else sends them meanwhile."""
        now = time.time()
        due = sa.select(WEBHOOKS.c.job_id).where(WEBHOOKS.c.next_at <= now).order_by(WEBHOOKS.c.next_at).limit(limit)
        taken = sa.update(WEBHOOKS).where(WEBHOOKS.c.job_id.in_(due.with_for_update(skip_locked=True)))
        with self._engine.begin() as connection:
            return list(connection.execute(taken.values(next_at=now + 60.0).returning(WEBHOOKS)).mappings())

    def delivered(self, job_id: str) -> None:
        """Its receiver has it."""
        self._set(job_id, next_at=None, delivered_ns=time.time_ns(), last_error=None)

    def failed(self, hook: Row, error: str, backoff_s: float) -> None:
        """It did not arrive: the next try is set, or none where enough were made."""
        tries = hook["tries"] + 1
        wait_s = min(LONGEST_S, backoff_s * 4 ** (tries - 1))
        self._set(hook["job_id"], tries=tries, next_at=None if tries >= MAX_TRIES else time.time() + wait_s, last_error=error[:500])

    def get(self, job_id: str) -> Row | None:
        """What is known of one message."""
        with self._engine.connect() as connection:
            return connection.execute(sa.select(WEBHOOKS).where(WEBHOOKS.c.job_id == job_id)).mappings().first()

    def _set(self, job_id: str, **values: Any) -> None:
        with self._engine.begin() as connection:
            connection.execute(sa.update(WEBHOOKS).where(WEBHOOKS.c.job_id == job_id).values(**values))


def signature(secret: bytes, job_id: str, timestamp: int, body: bytes) -> str:
    """The value of `webhook-signature`."""
    signed = f"{job_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()


def message(state: str, data: dict[str, Any]) -> bytes:
    """The body: `{"type": "job.succeeded", "timestamp", "data": the job as GET /jobs/{id} shows it}`."""
    return orjson.dumps({"type": f"job.{state}", "timestamp": rfc3339(time.time_ns()), "data": data})


class Messenger:
    """Sends what is due. `body_of(job_id)` is awaited for each message; None where the job is gone."""

    def __init__(
        self,
        table: JobTable,
        secret: bytes,
        body_of: Callable[[str], Awaitable[bytes | None]],
        *,
        allow_private: bool,
        backoff_s: float,
    ):
        self._table = WebhookTable(table)
        self._secret = secret
        self._body_of = body_of
        self._allow_private = allow_private
        self._backoff_s = backoff_s

    async def send_due(self) -> int:
        """Sends what is due now, several at a time; returns how many were tried."""
        hooks = await asyncio.to_thread(self._table.take, AT_ONCE)
        await asyncio.gather(*(self._send(hook) for hook in hooks))
        return len(hooks)

    async def _send(self, hook: Row) -> None:
        error = await self._post(hook)
        if error is None:
            await asyncio.to_thread(self._table.delivered, hook["job_id"])
        else:
            _log.warning("webhook of job %s, try %d: %s", hook["job_id"], hook["tries"] + 1, error)
            await asyncio.to_thread(self._table.failed, hook, error, self._backoff_s)

    async def _post(self, hook: Row) -> str | None:
        """None where the receiver took it, else what went wrong. A redirection is not followed: it could lead inside."""
        body = await self._body_of(hook["job_id"])
        if body is None:
            return None
        try:
            target = await resolve(hook["url"], allow_private=self._allow_private)
            now = int(time.time())
            headers = {
                "host": target.host,
                "content-type": "application/json",
                "webhook-id": hook["job_id"],
                "webhook-timestamp": str(now),
                "webhook-signature": signature(self._secret, hook["job_id"], now, body),
            }
            # trust_env off: a proxy of the environment would resolve the name again, and we would not see where it leads.
            async with asyncio.timeout(TIMEOUT_S), httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False) as client:
                request = client.build_request(
                    "POST", target.url, content=body, headers=headers, extensions={"sni_hostname": target.hostname}
                )
                answer = await client.send(request, stream=True)
                await answer.aclose()
        except Forbidden as refused:
            return f"the address may not be used: {refused}"
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, OSError) as error:
            return f"{type(error).__name__}: {error}"
        return None if answer.is_success else f"HTTP {answer.status_code}"
