"""Bodies of HTTP requests and gRPC messages, spoiled: an order with valid values, or a RequestError that names its type."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import DecodeError
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.types import Message

from serve.grpc import sonoscope_pb2 as pb
from serve.grpc.calls import check_size, given_file, stated
from serve.schema import parse_order
from serve.uploads import check_inputs, check_pictures, limited, read_order, read_pictures
from telemetry import fields
from telemetry.errors import ERROR_TYPES, RequestError
from tests.fuzzing import JSON, cases, nothing_left_behind, sent_bytes, spoiled

LIMIT = 2**20
BOUNDARY = "bound"
ID = b"a" * 64
BODIES = (
    b'{"prompt": {"portrait_image": "%s", "audio_clip": "%s", "inference_steps": 20, "fps": 25.0, "seed": 7}}' % (ID, ID),
    b'{"prompt": {"portrait": "%s"}, "audio": "%s", "keep_resolution": true, "experiment": "x", "duration": 0.5}' % (ID, ID),
    b'{"image": ["%s", "%s"], "experiment": "x"}' % (ID, ID),
)
NAMES = [
    *(field.name for field in fields.PARAMETERS),
    *(alias for field in fields.PARAMETERS for alias in field.aliases),
    *fields.LABELS,
]


def form(*parts: tuple[str, bytes], filename: bool = True) -> bytes:
    """A multipart body; the first two parts are files."""
    lines: list[bytes] = []
    for number, (name, content) in enumerate(parts):
        file = b'; filename="x.wav"\r\nContent-Type: application/octet-stream' if filename and number < 2 else b""
        lines.append(
            b'--%s\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n' % (BOUNDARY.encode(), name.encode(), file, content)
        )
    return b"".join(lines) + b"--%s--\r\n" % BOUNDARY.encode()


FORMS = (
    form(("portrait", b"\x89PNG" + b"p" * 300), ("audio", b"RIFF" + b"a" * 300), ("inference_steps", b"20"), ("fps", b"25")),
    form(("image", b"one"), ("image", b"two"), ("experiment", b"x")),
    form(("portrait", ID), ("audio", ID), ("seed", b"1"), filename=False),
)
PIECES = (
    b"", b"\r\n", b"\n", b"--bound", b"--bound--", b"\0", b"\xff", b'name="portrait"', b'filename="', b"; filename*=utf-8''%FF",
    b"Content-Disposition: form-data", b"Content-Transfer-Encoding: base64\r\n", b"Content-Type: multipart/mixed; boundary=x\r\n",
    b"x" * 20_000, b"a: b\r\n" * 500, b"--bound\r\n" * 100, b'\r\nContent-Disposition: form-data; name=""\r\n\r\n',
)  # fmt: skip


@pytest.fixture(autouse=True)
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with nothing_left_behind(tmp_path, monkeypatch):
        yield


def request(body: bytes, kind: str, *, pieces: int = 3, length: bytes | None = None) -> Request:
    """A request whose body comes in pieces."""
    step = max(1, len(body) // pieces)
    parts = [body[at : at + step] for at in range(0, len(body), step)] or [b""]
    messages: list[Message] = [
        {"type": "http.request", "body": part, "more_body": number + 1 < len(parts)} for number, part in enumerate(parts)
    ]

    async def receive() -> Message:
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    headers = [(b"content-type", kind.encode("latin-1"))] + ([(b"content-length", length)] if length is not None else [])
    return Request({"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": headers, "app": None}, receive)


def order_of(asked: Request) -> None:
    """Reads an order as the door does, to its last value."""

    async def read() -> None:
        order = await read_order(limited(asked, LIMIT))
        try:
            check_values(parse_order(order.parameters))
        finally:
            await order.close()
            await asked.close()

    refused(read)


def pictures_of(asked: Request) -> None:
    """Reads pictures as the door does."""

    async def read() -> None:
        pictures, rest = await read_pictures(limited(asked, LIMIT), 8)
        assert 1 <= len(pictures) <= 8
        json.dumps(rest, default=str).encode()
        await asked.close()

    refused(read)


def check_values(values: dict[str, Any]) -> None:
    """What was read can be written into a log, a database and an answer."""
    json.dumps(values, allow_nan=False, ensure_ascii=False).encode()
    for field in fields.PARAMETERS:
        value = values.get(field.name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            assert field.minimum is None or value >= field.minimum, field.name
            assert field.maximum is None or value <= field.maximum, field.name


def refused(read: Callable[[], Awaitable[None]]) -> None:
    """Runs it; an error must be one of ours, and a client's."""

    async def run() -> None:
        await read()

    told: RequestError | None = None
    try:
        asyncio.run(run())
    except RequestError as error:
        told = error
    if told is not None:
        assert ERROR_TYPES[told.type].http_status < 500, told
        json.dumps(told.as_dict(), ensure_ascii=False).encode()


@cases(200)
@given(sent_bytes(BODIES), st.sampled_from(["application/json", "application/json; charset=utf-16", "text/plain"]))
@example(b"[" * 100_000, "application/json")
@example(b'{"a":' * 100_000, "application/json")
@example(b'{"prompt": {"seed": ' + b"9" * 5000 + b"}}", "application/json")
@example(b'{"prompt": {"fps": NaN, "portrait": "x", "audio": "y"}}', "application/json")
@example(b'{"prompt": {"experiment": "\\ud800"}}', "application/json")
@example(b"\x80", "application/json")
def test_a_json_body(body: bytes, kind: str) -> None:
    order_of(request(body, kind))
    pictures_of(request(body, kind))


@cases(200)
@given(st.dictionaries(st.sampled_from([*NAMES, "portrait", "audio", "image", "else"]), JSON, max_size=4))
@example({"portrait": "a" * 64, "audio": "a" * 64, "seed": 10**400})
@example({"portrait": "a" * 64, "audio": "a" * 64, "fps": float("inf")})
@example({"portrait": "a" * 64, "audio": "a" * 64, "experiment": "\0"})
def test_values_of_any_kind(values: dict[str, Any]) -> None:
    both = {"portrait": "a" * 64, "audio": "a" * 64}
    for body in ({"prompt": {**both, **values}}, {"image": "a" * 64, **values}):
        text = json.dumps(body).encode()
        order_of(request(text, "application/json"))
        pictures_of(request(text, "application/json"))


# Starlette forgets the file of a part that never ended; it is closed when nobody holds it any more, which is at once.
@pytest.mark.filterwarnings("ignore:.*SpooledTemporaryFile:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore:Unclosed file <tempfile.Spooled:ResourceWarning")
@cases(200)
@given(
    st.one_of(spoiled(FORMS, PIECES), spoiled(FORMS, PIECES), st.binary(max_size=200)),
    st.sampled_from([f"multipart/form-data; boundary={BOUNDARY}"] * 4 + ["multipart/form-data", "multipart/form-data; boundary="]),
    st.integers(1, 40),
)
@example(form(*((f"f{n}", b"") for n in range(300)), filename=False), f"multipart/form-data; boundary={BOUNDARY}", 3)
@example(FORMS[0][:-30], f"multipart/form-data; boundary={BOUNDARY}", 3)
@example(FORMS[0], "multipart/form-data; boundary=\xe9", 3)
@example(FORMS[0], "multipart/form-data; boundary=" + "x" * 300, 3)
def test_a_multipart_body(body: bytes, kind: str, pieces: int) -> None:
    order_of(request(body, kind, pieces=pieces))
    pictures_of(request(body, kind, pieces=pieces))


GENERATE = pb.GenerateRequest(
    portrait=pb.Media(data=b"\x89PNG", name="x.png"), audio=pb.Media(asset_id=ID.decode()),
    parameters=pb.Parameters(inference_steps=20, fps=25.0, seed=7), labels=pb.Labels(experiment="x"),
)  # fmt: skip
RECOGNIZE = pb.RecognizeRequest(images=[pb.Media(data=b"\x89PNG"), pb.Media(asset_id=ID.decode())], labels=pb.Labels(block="b"))
SENT = (GENERATE.SerializeToString(), RECOGNIZE.SerializeToString(), pb.JobRequest(id="x").SerializeToString())


@cases(200)
@given(sent_bytes(SENT))
@example(pb.GenerateRequest(parameters=pb.Parameters(fps=float("nan"), seed=-(2**63))).SerializeToString())
@example(b"\x0a" * 5000)
@example(b"\x12\xff\xff\xff\xff\x0f")
def test_a_grpc_message(data: bytes) -> None:
    async def generate() -> None:
        asked = pb.GenerateRequest.FromString(data)
        check_size(asked, LIMIT)
        inputs: dict[str, UploadFile | str] = {
            name: file
            for name, media in (("portrait", asked.portrait), ("audio", asked.audio))
            if (file := given_file(media)) is not None
        }
        check_inputs(inputs)
        check_values(parse_order(stated(asked.parameters, asked.labels)))

    async def recognize() -> None:
        asked = pb.RecognizeRequest.FromString(data)
        check_size(asked, LIMIT)
        check_pictures([file for media in asked.images if (file := given_file(media)) is not None], 8)
        json.dumps(stated(asked.labels)).encode()

    for read in (generate, recognize):
        try:
            refused(read)
        except DecodeError:  # gRPC's own layer answers INTERNAL before we are asked
            continue
