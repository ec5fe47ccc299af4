"""The table of names keeps its own promises."""

from __future__ import annotations

import re

import pyarrow as pa
import pytest

from telemetry import fields
from telemetry.errors import ERROR_TYPES, RequestError

_PARAMETERS = [pytest.param(field, id=field.name) for field in fields.PARAMETERS]


def test_names_are_unique_lower_case_and_clear_of_the_events_own() -> None:
    every = [field.name for field in fields.FIELDS]
    assert len(set(every)) == len(every)
    assert all(re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name) for name in every)
    assert not set(every) & fields.EVENT_FIELDS.keys()
    aliases = [alias for field in fields.FIELDS for alias in field.aliases]
    assert len(set(aliases)) == len(aliases)
    assert not set(aliases) & set(every)


@pytest.mark.parametrize("field", _PARAMETERS)
def test_a_default_is_allowed_and_not_advised_against(field: fields.Field) -> None:
    if field.default is None:
        assert field.nullable
        assert field.null, "what an open value means is said"
        return
    assert field.cast(field.default) == field.default
    assert type(field.cast(field.default)) is type(field.default)
    if field.choices:
        assert field.default in field.choices
    if isinstance(field.default, int | float) and field.minimum is not None and field.maximum is not None:
        assert field.minimum <= field.default <= field.maximum
        assert not field.multiple_of or field.default % field.multiple_of == 0
    assert fields.advise({field.name: field.default}) == []


@pytest.mark.parametrize("field", [row for row in _PARAMETERS if row.values[0].advised])  # type: ignore[union-attr]
def test_advice_comes_outside_the_advised_range_only(field: fields.Field) -> None:
    assert field.advised is not None
    assert field.minimum is not None
    assert field.maximum is not None
    low, high = field.advised
    assert field.minimum <= low <= high <= field.maximum
    assert fields.advise({field.name: low}) == fields.advise({field.name: high}) == []
    assert fields.advise({field.name: low - 1}) == [f"{field.name}_low"]
    assert fields.advise({field.name: high + 1}) == [f"{field.name}_high"]
    assert fields.advise({field.name: None}) == []


def test_the_arrow_schema_has_every_field_in_its_type() -> None:
    schema = fields.arrow_schema()
    assert schema.names == [field.name for field in fields.FIELDS]
    assert schema.field("advice").type == pa.list_(pa.string())
    assert schema.field("started_at").type == pa.timestamp("ns", tz="UTC")
    row = fields.cast_row({field.name: 1 for field in fields.FIELDS if field.dtype not in ("list", "time")})
    assert pa.Table.from_pylist([row], schema=schema).num_rows == 1


def test_every_parameter_says_its_range_in_words() -> None:
    assert fields.BY_NAME["min_resolution"].allowed == "128 to 1024, a multiple of 64"
    assert fields.BY_NAME["model_name"].allowed == "lite or sonic"
    assert all("allowed: " in field.help for field in fields.PARAMETERS)


def test_terminal_events_and_stage_columns_are_in_the_table() -> None:
    assert set(fields.TERMINAL_EVENTS) <= set(fields.EVENT_TYPES)
    assert {f"{stage}{end}" for stage in fields.STAGES for end in ("_ms", "_busy_ms")} <= fields.BY_NAME.keys()


@pytest.mark.parametrize("name", ERROR_TYPES)
def test_every_error_has_a_status_and_a_way_out(name: str) -> None:
    error = RequestError(name, "It broke.")
    assert 400 <= error.http_status < 600
    assert error.hint.endswith(".")
