"""Webhooks: signed so that a receiver can check it, tried again, given up at last, and never sent where they must not go."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import orjson
import pytest
import sqlalchemy as sa

from serve import jobs
from serve.jobs import JobTable
from serve.tables import WEBHOOKS
from serve.webhooks import MAX_TRIES, Messenger, WebhookTable, message

SECRET = b"s" * 32


class Receiver:
    """A real HTTP server that answers with `status` and keeps what it got."""

    def __init__(self) -> None:
        self.status = 204
        self.got: list[tuple[dict[str, str], bytes]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.got.append(({key.lower(): value for key, value in self.headers.items()}, body))
                self.send_response(receiver.status)
                self.send_header("location", receiver.url + "/elsewhere")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    one = Receiver()
    yield one
    one.close()


def messenger(table: JobTable, *, allow_private: bool = True) -> Messenger:
    async def body(job_id: str) -> bytes:
        return message("succeeded", {"job_id": job_id})

    return Messenger(table, SECRET, body, allow_private=allow_private, backoff_s=5.0)


def ended(table: JobTable, job: Callable[..., dict], url: str) -> None:
    table.add(job("one", webhook_url=url))
    row = table.claim("me", 30.0)
    assert row is not None
    assert table.finish(row, jobs.SUCCEEDED)


def due_now(table: JobTable) -> None:
    with table.engine.begin() as connection:
        connection.execute(sa.update(WEBHOOKS).where(WEBHOOKS.c.next_at.is_not(None)).values(next_at=time.time() - 1))


def test_a_message_arrives_once_and_its_signature_holds(table: JobTable, job: Callable[..., dict], receiver: Receiver) -> None:
    ended(table, job, receiver.url + "/done")
    assert asyncio.run(messenger(table).send_due()) == 1
    assert asyncio.run(messenger(table).send_due()) == 0
    ((headers, body),) = receiver.got
    assert orjson.loads(body)["type"] == "job.succeeded"
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(SECRET, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert headers["webhook-id"] == "one"
    assert headers["host"] == receiver.url.removeprefix("http://")
    assert WebhookTable(table).get("one")["delivered_ns"] is not None


def test_a_receiver_that_fails_is_told_again_later_under_the_same_id(
    table: JobTable, job: Callable[..., dict], receiver: Receiver
) -> None:
    ended(table, job, receiver.url)
    receiver.status = 500
    asyncio.run(messenger(table).send_due())
    hook = WebhookTable(table).get("one")
    assert hook["tries"] == 1
    assert hook["last_error"] == "HTTP 500"
    assert 2 < hook["next_at"] - time.time() <= 5
    receiver.status = 200
    due_now(table)
    asyncio.run(messenger(table).send_due())  # another messenger: a restart forgets nothing
    assert [headers["webhook-id"] for headers, _ in receiver.got] == ["one", "one"]
    assert WebhookTable(table).get("one")["next_at"] is None


def test_it_is_given_up_after_so_many_tries(table: JobTable, job: Callable[..., dict]) -> None:
    ended(table, job, "http://127.0.0.1:9/nobody")
    for _ in range(MAX_TRIES):
        due_now(table)
        assert asyncio.run(messenger(table).send_due()) == 1
    due_now(table)
    assert asyncio.run(messenger(table).send_due()) == 0
    assert WebhookTable(table).get("one")["delivered_ns"] is None


def test_a_redirection_is_not_followed(table: JobTable, job: Callable[..., dict], receiver: Receiver) -> None:
    ended(table, job, receiver.url)
    receiver.status = 302
    asyncio.run(messenger(table).send_due())
    assert len(receiver.got) == 1
    assert WebhookTable(table).get("one")["last_error"] == "HTTP 302"


def test_an_inside_address_is_refused_at_the_sending_too(table: JobTable, job: Callable[..., dict], receiver: Receiver) -> None:
    ended(table, job, receiver.url)
    asyncio.run(messenger(table, allow_private=False).send_due())
    assert receiver.got == []
    assert "inside a network" in WebhookTable(table).get("one")["last_error"]
