"""The headers of a request: deadline, priority, webhook, and the key that makes it the same request."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from deployments.artifacts import artifacts_at
from serve.admission import Admission
from serve.jobs import JobTable
from serve.settings import Settings
from serve.terms import read_terms
from serve.uploads import AssetStore
from telemetry.errors import RequestError
from telemetry.redact import Redactor
from telemetry.segments import read_lines
from telemetry.tracing import setup
from tests.serve.test_admission import form, request


def terms(headers: dict[str, str], **settings: Any) -> Any:
    return asyncio.run(read_terms(request(headers), Settings(**settings), "owner"))


@pytest.mark.parametrize(
    ("header", "value"),
    [("X-Priority", "urgent"), ("X-Deadline-Seconds", "soon"), ("X-Deadline-Seconds", "-1"), ("Idempotency-Key", "two words"),
     ("Idempotency-Key", ""), ("Idempotency-Key", "x" * 129), ("X-Webhook-URL", "http://127.0.0.1/"), ("X-Webhook-URL", "nowhere")],
)  # fmt: skip
def test_a_bad_header_is_named(header: str, value: str) -> None:
    with pytest.raises(RequestError) as refused:
        terms({header: value})
    assert (refused.value.type, refused.value.field) == ("invalid_parameter", header)


def test_high_priority_is_believed_on_loopback_only() -> None:
    for name, inside, outside in (("low", -1, -1), ("normal", 0, 0), ("high", 1, 0)):
        assert terms({"X-Priority": name}).priority == inside
        assert terms({"X-Priority": name}, host="0.0.0.0").priority == outside


def test_two_owners_may_use_the_same_key() -> None:
    asked = request({"Idempotency-Key": "order-1"})
    keys = {asyncio.run(read_terms(asked, Settings(), owner)).idempotency_key for owner in ("a", "b")}
    assert len(keys) == 2


@pytest.fixture
def door(tmp_path: Path) -> Any:
    settings = Settings(data_dir=tmp_path)
    settings.prepare()
    telemetry = setup("test", tmp_path)
    yield Admission(settings, JobTable(settings.jobs_url), AssetStore(artifacts_at(settings.place)), telemetry, Redactor(b"k" * 32))
    telemetry.shutdown()


def order(key: str | None, **fields: str) -> Any:
    headers, body = form()
    extra = "".join(f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields.items())
    body = extra.encode() + body
    key_header = {} if key is None else {"idempotency-key": key}
    return request({**headers, **key_header, "content-length": str(len(body))}, body)


def test_the_same_key_and_order_are_the_same_job_and_leave_one_record(door: Any, tmp_path: Path) -> None:
    first = asyncio.run(door.accept(order("k")))
    assert asyncio.run(door.accept(order("k"))) == first, "though each would have drawn another seed"
    assert asyncio.run(door.accept(order(None))) != first
    assert asyncio.run(door.accept(order("other"))) != first
    received = [json.loads(line) for line in read_lines(tmp_path / "journal", "events")]
    assert [event["event_type"] for event in received].count("request_received") == 3


@pytest.mark.parametrize("change", [{"inference_steps": "30"}, {"seed": "7"}, {"source_prefix": "b"}])
def test_the_same_key_with_another_order_is_refused(door: Any, change: dict[str, str]) -> None:
    asyncio.run(door.accept(order("k")))
    with pytest.raises(RequestError) as refused:
        asyncio.run(door.accept(order("k", **change)))
    assert refused.value.type == "idempotency_mismatch"
    assert refused.value.http_status == 422


def test_the_same_key_twice_at_the_same_moment_is_one_job(door: Any) -> None:
    async def both() -> list[str]:
        return list(await asyncio.gather(*(door.accept(order("k")) for _ in range(5))))

    assert len(set(asyncio.run(both()))) == 1
