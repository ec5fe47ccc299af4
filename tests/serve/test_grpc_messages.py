"""The gRPC messages say what HTTP says: every parameter, every field of an answer, every error type."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from serve import schema
from serve.grpc import sonoscope_pb2 as pb
from serve.grpc.calls import peer_address, status_of
from telemetry import fields
from telemetry.errors import ERROR_TYPES

DOC = Path(__file__).parents[2] / "docs" / "grpc.md"
TYPES = {"int": "TYPE_INT64", "float": "TYPE_DOUBLE", "bool": "TYPE_BOOL", "str": "TYPE_STRING"}


def shape(message: Any) -> dict[str, str]:
    """Name and type of each field."""
    names = {value: name for name, value in vars(type(message.DESCRIPTOR.fields[0])).items() if name.startswith("TYPE_")}
    return {field.name: names[field.type] for field in message.DESCRIPTOR.fields}


def test_every_parameter_and_label_of_the_table_is_in_the_messages() -> None:
    assert shape(pb.Parameters) == {field.name: TYPES[field.dtype] for field in fields.PARAMETERS}
    assert shape(pb.Labels) == {name: TYPES[fields.BY_NAME[name].dtype] for name in fields.LABELS}


@pytest.mark.parametrize(
    ("message", "model"),
    [
        (pb.GenerateAnswer, schema.GenerateAnswer), (pb.Job, schema.JobAnswer), (pb.Error, schema.ErrorBody),
        (pb.RecognizeAnswer, schema.RecognizeAnswer), (pb.PictureResult, schema.PictureResult),
        (pb.ScoredWords, schema.ScoredWords), (pb.Words, schema.Words),
    ],
)  # fmt: skip
def test_an_answer_has_the_fields_that_it_has_over_http(message: Any, model: Any) -> None:
    assert shape(message).keys() == model.model_fields.keys()


def test_the_document_names_the_status_of_every_error_type() -> None:
    by_status: dict[str, list[str]] = {}
    for name in ERROR_TYPES:
        by_status.setdefault(status_of(name).name, []).append(f"`{name}`")
    rows = "\n".join(f"| {status} | {', '.join(names)} |" for status, names in sorted(by_status.items()))
    assert rows in DOC.read_text("utf-8"), rows


def test_a_client_is_known_by_its_address() -> None:
    assert peer_address("ipv4:127.0.0.1:5000") == ("127.0.0.1", 5000)
    assert peer_address("ipv6:%5B::1%5D:5000") == ("::1", 5000)
    assert peer_address("ipv6:[::ffff:10.0.0.1]:5000") == ("10.0.0.1", 5000)
    assert peer_address("unix:/run/x") == ("", 0)
