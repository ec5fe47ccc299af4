"""Manifests of a batch and messages of a queue, spoiled: what they say, or an error in the reader's own words."""

from __future__ import annotations

import inspect
from pathlib import Path

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sonoscope import calls
from sonoscope.batch.items import BadManifest, read_manifest
from sonoscope.client import Client
from sonoscope.consume.messages import KEY_HEADER, Received, read_order
from telemetry.errors import ERROR_TYPES, RequestError
from tests.fuzzing import cases, nothing_left_behind, sent_bytes

CSV = (
    b"portrait,audio,name,inference_steps,fps\na.png,b.wav,one,20,25\na.png,c.wav,two,,30\n",
    b"portrait,audio\n\xe4.png,b.wav\n",
)
LINES = (b'{"portrait": "a.png", "audio": "b.wav", "name": "one", "seed": 3}\n\n{"portrait": "a.png", "audio": "c.wav"}\n',)
MESSAGES = (
    b'{"prompt": {"portrait_image": "%s", "audio_clip": "%s", "inference_steps": 20}}' % (b"a" * 64, b"b" * 64),
    b'{"portrait": {"base64": "AAAA"}, "audio": {"base64": "AAAA"}, "seed": 1}',
)


@pytest.fixture(autouse=True)
def small(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch):
    with nothing_left_behind(tmp_path_factory.mktemp("temporary"), monkeypatch):
        yield


@cases(200)
@given(st.one_of(st.tuples(st.just(".csv"), sent_bytes(CSV)), st.tuples(st.just(".jsonl"), sent_bytes(LINES))))
@example((".csv", b"\xff"))
@example((".csv", b"portrait,audio\n\0,\0\n"))
@example((".csv", b'portrait,audio\n"' + b"x" * 200_000))
@example((".csv", b"portrait,audio,name\na,b,\0\n"))
@example((".jsonl", b"[" * 100_000))
@example((".jsonl", b'{"portrait": 1, "audio": 2}'))
@example((".jsonl", b'{"portrait": "a\\ud800", "audio": "b"}'))
@example((".jsonl", b'{"portrait": "a\\u0000", "audio": "b"}'))
@example((".jsonl", b'{"portrait": "a", "audio": "b", "name": {}}'))
@example((".jsonl", b'{"portrait": "a", "audio": "b", "name": "\\ud800"}'))
@example((".jsonl", b'{"portrait": "a", "audio": "b", "seed": ' + b"9" * 5000 + b"}"))
@example((".jsonl", b'{"portrait": "a", "audio": "b", "name": ".."}'))
def test_a_manifest(tmp_path: Path, sent: tuple[str, bytes]) -> None:
    suffix, data = sent
    path = tmp_path / f"batch{suffix}"
    path.write_bytes(data)
    told: BadManifest | None = None
    try:
        items = read_manifest(path)
    except BadManifest as error:
        told, items = error, []
    if told is not None:
        assert str(told).startswith(path.name)
        str(told).encode()
    for item in items:
        assert (tmp_path / f"{item.name}.mp4").parent == tmp_path
        with pytest.raises(OSError, match=r"No such file|too long"):  # no path of it is one that a system cannot be asked for
            item.key()


HEADERS = st.lists(
    st.tuples(
        st.sampled_from([KEY_HEADER, "traceparent", "x-department", "x-priority", "X-Deadline-Seconds", "else"]),
        st.one_of(st.none(), st.binary(max_size=12), st.text(max_size=8).map(lambda text: text.encode("utf-8", "surrogatepass"))),
    ),
    max_size=3,
)


@cases(200)
@given(sent_bytes(MESSAGES), HEADERS)
@example(b"[" * 100_000, [])
@example(MESSAGES[0], [(KEY_HEADER, b"a\r\nX-Department: film")])
@example(MESSAGES[0], [("x-department", "电影".encode())])
@example(MESSAGES[0], [("x-priority", b"\x01")])
@example(MESSAGES[0], [(KEY_HEADER, b" ")])
@example(b'{"portrait": "a", "audio": "b", "headers": {}, "self": 1}', [])
@example(b'{"portrait": "a", "audio": "b", "fps": NaN}', [])
def test_a_message_of_the_queue(value: bytes, headers: list[tuple[str, bytes | None]]) -> None:
    message = Received("t", 0, 1, 2, None, value, headers)
    told: RequestError | None = None
    try:
        order = read_order(message, 50_000)
    except RequestError as error:
        told, order = error, None
    if order is None:
        assert told is not None
        assert ERROR_TYPES[told.type].http_status < 500
        return
    job = calls.order("a", "b", order.parameters, {})
    assert job is not None
    inspect.signature(Client.order).bind(None, "a", "b", headers={}, **order.parameters)
    sent = {**order.terms, "Idempotency-Key": message.idempotency_key, "traceparent": message.traceparent}
    built = httpx.Request("POST", "http://service/generate", headers=sent)
    for name, text in built.headers.raw:
        assert not set(text) & set(b"\r\n\0"), name
        assert text == text.strip(), name
    assert order.inputs.keys() == {"portrait", "audio"}
