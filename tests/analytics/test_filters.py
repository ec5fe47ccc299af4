"""One expression, asked in plain Python, in DuckDB, in TraceQL and in Elasticsearch, means one thing."""

from __future__ import annotations

import json
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.columns import Column, vocabulary
from analytics.filters import FilterError, parse
from analytics.filters.evaluate import matches
from analytics.filters.remote import to_elasticsearch, to_traceql
from analytics.filters.sql import to_sql
from analytics.filters.syntax import And, Compare, Nil, Node, Not, Or
from telemetry import fields

CONNECTION = duckdb.connect()
NAMES = vocabulary(["mine"])
TESTED = ("inference_steps", "audio_drift_ms", "cache_hit", "status", "advice", "started_at", "mine")
WORDS = st.sampled_from(["", "ok", "error", "lite", "a.c", "Ä", "百灵", "'; DROP TABLE rows; --", "?", "5", "true", "o\nk"])
NUMBERS = st.integers(-3, 3)
FLOATS = st.sampled_from([-1.0, 0.0, 0.1, 1.0, 100.0, 1e300])
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "int": NUMBERS,
    "float": FLOATS,
    "bool": st.booleans(),
    "str": WORDS,
    "list": st.lists(WORDS, max_size=3),
    "time": st.integers(1_795_000_000_000_000_000, 1_795_000_000_000_000_005),
    "any": NUMBERS | FLOATS | st.booleans() | WORDS,
}
REGEX = st.sampled_from(["ok", "o.*", ".*", "a.c", "(lite|error)", "百.", "[a-z]+", ""])


def rows() -> st.SearchStrategy[dict[str, Any]]:
    known = {name: st.none() | VALUES[NAMES[name].dtype] for name in TESTED if name != "mine"}
    return st.fixed_dictionaries({**known, "extra": st.none() | st.fixed_dictionaries({}, optional={"mine": VALUES["any"]})})


@st.composite
def leaves(draw: st.DrawFn) -> Node:
    column = NAMES[draw(st.sampled_from(TESTED))]
    if draw(st.integers(0, 5)) == 0:
        return Nil(column)
    literal = "str" if column.dtype == "list" else column.dtype
    value = draw(VALUES[literal])
    operators = ["=", "!="]
    if isinstance(value, str):
        if draw(st.booleans()):
            return Compare(column, draw(st.sampled_from(["=~", "!~"])), draw(REGEX))
        operators += [] if column.dtype == "list" else [">", "<=", "<", ">="]
    elif not isinstance(value, bool):
        operators += [">", "<=", "<", ">="]
    return Compare(column, draw(st.sampled_from(operators)), value)  # pyright: ignore[reportArgumentType]


def nodes() -> st.SearchStrategy[Node]:
    def joined(inner: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
        parts = st.lists(inner, min_size=1, max_size=3).map(tuple)
        return inner.map(Not) | parts.map(And) | parts.map(Or)

    return st.recursive(leaves(), joined, max_leaves=6)


def stored(given: list[dict[str, Any]]) -> pa.Table:
    schema = pa.schema([fields.arrow_schema().field(name) for name in TESTED if name != "mine"] + [pa.field("extra", pa.string())])
    return pa.Table.from_pylist(
        [{**row, "extra": None if row["extra"] is None else json.dumps(row["extra"])} for row in given], schema=schema
    )


@settings(max_examples=150, deadline=None)
@given(node=nodes(), given_rows=st.lists(rows(), min_size=1, max_size=12))
def test_sql_finds_what_the_plain_evaluator_finds(node: Node, given_rows: list[dict[str, Any]]) -> None:
    CONNECTION.register("rows", stored(given_rows))
    sql = to_sql(node)
    found = CONNECTION.execute(f"SELECT {sql.text} FROM rows", sql.parameters).fetchall()
    assert [answer for (answer,) in found] == [matches(node, row) for row in given_rows]


def elastic(query: dict[str, Any], row: dict[str, Any]) -> bool:
    """What Elasticsearch does with the queries that we make: missing fields and empty arrays match nothing."""
    ((kind, body),) = query.items()
    if kind == "match_all":
        return True
    if kind == "bool":
        return (
            all(elastic(part, row) for part in body.get("filter", []))
            and not any(elastic(part, row) for part in body.get("must_not", []))
            and (not body.get("should") or any(elastic(part, row) for part in body["should"]))
        )
    if kind == "exists":
        return row.get(body["field"]) not in (None, [])
    ((name, test),) = body.items()
    values = row.get(name)
    values = values if isinstance(values, list) else [] if values is None else [values]
    if name == "started_at":
        ((op, moment),) = test.items()
        test = {op: pa.array([moment]).cast(pa.timestamp("ns", tz="UTC")).cast(pa.int64())[0].as_py()}
    column = NAMES[name]
    operators = {"value": "=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
    op = "=~" if kind == "regexp" else operators[next(iter(test))]
    value = next(iter(test.values()))
    return any(matches(Compare(Column(name, name, column.dtype), op, value), {name: item}) for item in values)  # pyright: ignore[reportArgumentType]


@settings(max_examples=150, deadline=None)
@given(node=nodes(), row=rows())
def test_elasticsearch_never_misses_a_row_and_is_right_where_it_says_so(node: Node, row: dict[str, Any]) -> None:
    asked = to_elasticsearch(node)
    got, wanted = elastic(asked.query, row), matches(node, row)
    assert got >= wanted
    if asked.exact:
        assert got == wanted


@settings(max_examples=150, deadline=None)
@given(node=nodes(), row=rows())
def test_traceql_never_misses_a_row_and_is_right_where_it_says_so(node: Node, row: dict[str, Any]) -> None:
    asked = to_traceql(node)
    got, wanted = matches(parse(asked.text, NAMES).node, row), matches(node, row)
    assert got >= wanted
    if asked.exact:
        assert got == wanted


@pytest.mark.parametrize(
    ("text", "traceql"),
    [
        ("inference_steps > 20 && audio_drift_ms > 100", "{ (span.inference_steps > 20 && span.audio_drift_ms > 100.0) }"),
        ("{ span.inference_steps > 20.0 }", "{ span.inference_steps > 20 }"),
        ("mine > 100", "{ (.mine > 100 || .mine > 100.0) }"),
        ("mine > 0.5", "{ .mine > 0.5 }"),
        ("status = error", '{ span.status = "error" }'),
        ('status = "a\\"}b"', '{ span.status = "a\\"}b" }'),
        ("duration > 1500ms", "{ duration > 1.5s }"),
        ("run_inference_ms > 1.5s", "{ span.run_inference_ms > 1500.0 }"),
        ("latency_s < 2m", "{ span.latency_s < 120.0 }"),
        ("20 < inference_steps", "{ span.inference_steps > 20 }"),
        ('name = "sonic_generation"', '{ name = "sonic_generation" }'),
        ('service.name = "shop"', '{ resource.service.name = "shop" }'),
        ("cache_hit", "{ span.cache_hit = true }"),
        ("audio_drift_ms != nil", "{ span.audio_drift_ms != nil }"),
        ("audio_drift_ms = nil", "{ }"),
        ("fps < 1e-7", "{ span.fps < 0.0000001 }"),
        ("{}", "{ }"),
        ("", "{ }"),
        ("has_trace && fps = 25", "{ span.fps = 25.0 }"),
        ("has_trace || fps = 25", "{ }"),
        ("model_name =~ `li\\w+`", '{ span.model_name =~ "li\\\\w+" }'),
    ],
)
def test_traceql_text(text: str, traceql: str) -> None:
    assert to_traceql(parse(text, NAMES).node).text == traceql


def test_elasticsearch_query() -> None:
    node = parse('audio_drift_ms > 100 && status != "error" && started_at >= "2026-11-22T18:00:00Z"').node
    assert to_elasticsearch(node).query == {
        "bool": {
            "filter": [
                {"range": {"audio_drift_ms": {"gt": 100.0}}},
                {
                    "bool": {
                        "filter": [{"exists": {"field": "status"}}],
                        "must_not": [{"term": {"status": {"value": "error"}}}],
                    }
                },
                {"range": {"started_at": {"gte": "2026-11-22T18:00:00.000000000Z"}}},
            ]
        }
    }


@pytest.mark.parametrize(
    ("text", "position", "words"),
    [
        ("inference_step > 3", 0, "did you mean inference_steps"),
        ("fps > 3 && span.audio_drif_ms > 1.0", 11, "did you mean audio_drift_ms"),
        ("inference_steps >", 17, "ends too early"),
        ("fps > 3 and status = ok", 8, "write && for and"),
        ("fps = ok", 6, "fps is float, not ok"),
        ("inference_steps = 20.5", 18, "is a whole number"),
        ("inference_steps = 99999999999999999999", 18, "64 bits"),
        ("duration > 5", 11, "wants a unit"),
        ("inference_steps > 5s", 18, "is not a time"),
        ("fps", 0, "compare it"),
        ("cache_hit > true", 10, "does not go with"),
        ("status =~ `(`", 10, "not a regular expression"),
        ("status = 'ok'", 9, "double quotes"),
        ("started_at > `yesterday`", 13, "is a time, such as"),
        ("status > nil", 7, "= and != only"),
    ],
)
def test_what_cannot_be_asked_says_where_and_why(text: str, position: int, words: str) -> None:
    with pytest.raises(FilterError, match=r"\^$") as caught:
        parse(text)
    assert words in caught.value.message
    assert caught.value.position == position
    assert str(caught.value).endswith("  " + " " * position + "^")


def test_the_columns_of_a_filter_are_known() -> None:
    assert parse("!(fps > 3) || span.status = nil").columns == {"fps", "status"}


def test_values_never_stand_in_the_sql() -> None:
    sql = to_sql(parse("status = `'; DROP TABLE rows; --` && mine = `x`", NAMES).node)
    assert "DROP" not in sql.text
    assert sql.parameters[0] == "'; DROP TABLE rows; --"
