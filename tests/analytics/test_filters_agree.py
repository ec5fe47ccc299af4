"""One expression over random rows: DuckDB, a real Elasticsearch and TraceQL's text agree with the plain meaning.

The rows and the expressions are drawn from a fixed seed, so that a failure comes again; a few hundred of each, sent in one request.
"""

from __future__ import annotations

import json
import random
from typing import Any

import duckdb
import httpx
import orjson
import pyarrow as pa
import pytest
from lark import Lark

from analytics.columns import Column, vocabulary
from analytics.filters.evaluate import matches
from analytics.filters.remote import to_elasticsearch, to_traceql
from analytics.filters.sql import to_sql
from analytics.filters.syntax import And, Compare, Nil, Node, Not, Or
from telemetry import fields
from telemetry.shipping import template
from telemetry.values import rfc3339
from tests.servers.elasticsearch import Elasticsearch

pytestmark = pytest.mark.timeout(300)

NAMES = vocabulary(["mine"])
TESTED = ("inference_steps", "audio_drift_ms", "cache_hit", "status", "advice", "started_at", "host", "mine")
WORDS = ("", "ok", "error", "lite", "a.c", "Ä", "百灵", "'; DROP", "?", "5", "true", "o\nk", 'quo"te', "back\\slash", "{ } && ||")
REGEXES = (
    "ok",
    "o.*",
    ".*",
    "a.c",
    "(lite|error)",
    "百.",
    "[a-z]+",
    "",
    "o\\nk",
    "(?i)OK",
    "^ok$",
    "a\\.c",
    "#",
    "~ok",
    "@",
    "<1-9>",
    "o&k",
)
TIME = 1_795_000_000_000_000_000
ROWS, EXPRESSIONS = 300, 400

TRACEQL = r"""
    start: "{" [expression] "}"
    ?expression: conjunction ("||" conjunction)*
    ?conjunction: primary ("&&" primary)*
    ?primary: comparison | "(" expression ")"
    comparison: name OPERATOR value | name "!=" "nil"
    name: SCOPE? WORD ("." WORD)*
    value: STRING | DURATION | FLOAT | INT | "true" | "false"
    SCOPE: "span." | "resource." | "."
    OPERATOR: ">=" | "<=" | "=~" | "!~" | "!=" | "=" | ">" | "<"
    WORD: /[A-Za-z_][A-Za-z_0-9]*/
    STRING: /"(\\["\\nrtbfu\/]|[^"\\\n])*"/
    DURATION.3: /-?\d+(\.\d+)?(ns|us|µs|ms|s|m|h)/
    FLOAT.2: /-?\d+\.\d+/
    INT: /-?\d+/
    %ignore " "
"""
"""The part of TraceQL's grammar (pkg/traceql/expr.y and lexer.go, 2.8 to 3.0) that a spanset filter of ours may use."""


def draw_value(rng: random.Random, dtype: str) -> Any:
    match dtype:
        case "int":
            return rng.choice((-3, -1, 0, 1, 2, 2**53 + 1, -(2**62)))
        case "float":
            return rng.choice((-1.0, 0.0, 0.1, 1.0, 100.0, 1e300, 1e-7))
        case "bool":
            return rng.random() < 0.5
        case "str":
            return rng.choice(WORDS)
        case "list":
            return rng.sample(WORDS, rng.randrange(3))
        case "time":
            return TIME + rng.randrange(4)
    return draw_value(rng, rng.choice(("int", "float", "bool", "str")))


def draw_row(rng: random.Random) -> dict[str, Any]:
    row = {name: draw_value(rng, NAMES[name].dtype) for name in TESTED if name != "mine" and rng.random() < 0.7}
    row["extra"] = {"mine": draw_value(rng, "any")} if rng.random() < 0.7 else None
    return row


def draw_leaf(rng: random.Random) -> Node:
    column = NAMES[rng.choice(TESTED)]
    if rng.random() < 0.15:
        return Nil(column)
    value = draw_value(rng, "str" if column.dtype == "list" else column.dtype)
    operators = ["=", "!="]
    if isinstance(value, str):
        if rng.random() < 0.5:
            return Compare(column, rng.choice(("=~", "!~")), rng.choice(REGEXES))  # pyright: ignore[reportArgumentType]
        operators += [] if column.dtype == "list" else [">", "<=", "<", ">="]
    elif not isinstance(value, bool):
        operators += [">", "<=", "<", ">="]
    return Compare(column, rng.choice(operators), value)  # pyright: ignore[reportArgumentType]


def draw_node(rng: random.Random, depth: int = 3) -> Node:
    kind = rng.choice(("leaf", "not", "and", "or")) if depth else "leaf"
    if kind == "leaf":
        return draw_leaf(rng)
    if kind == "not":
        return Not(draw_node(rng, depth - 1))
    parts = tuple(draw_node(rng, depth - 1) for _ in range(rng.randrange(1, 4)))
    return And(parts) if kind == "and" else Or(parts)


@pytest.fixture(scope="module")
def drawn() -> tuple[list[dict[str, Any]], list[Node]]:
    rng = random.Random(20261122)
    return [draw_row(rng) for _ in range(ROWS)], [draw_node(rng) for _ in range(EXPRESSIONS)]


def wanted(node: Node, rows: list[dict[str, Any]]) -> set[int]:
    return {number for number, row in enumerate(rows) if matches(node, row)}


def test_sql_agrees(drawn: tuple[list[dict[str, Any]], list[Node]]) -> None:
    rows, nodes = drawn
    known = [fields.arrow_schema().field(name) for name in TESTED if name != "mine"]
    table = pa.Table.from_pylist(
        [{**row, "number": n, "extra": None if row["extra"] is None else json.dumps(row["extra"])} for n, row in enumerate(rows)],
        schema=pa.schema([*known, pa.field("extra", pa.string()), pa.field("number", pa.int64())]),
    )
    with duckdb.connect() as connection:
        connection.register("rows", table)
        for node in nodes:
            sql = to_sql(node)
            found = connection.execute(f"SELECT number FROM rows WHERE {sql.text}", sql.parameters).fetchall()
            assert {number for (number,) in found} == wanted(node, rows), node


@pytest.mark.server
def test_elasticsearch_agrees(drawn: tuple[list[dict[str, Any]], list[Node]], elasticsearch: Elasticsearch, index: str) -> None:
    rows, nodes = drawn
    fill(elasticsearch.url, index, rows)
    asked = [to_elasticsearch(node) for node in nodes]
    exact = 0
    for node, query, found in zip(nodes, asked, ask(elasticsearch.url, index, [one.query for one in asked]), strict=True):
        expected = wanted(node, rows)
        assert found >= expected, (node, query)
        if query.exact:
            exact += 1
            assert found == expected, (node, query)
    assert exact > EXPRESSIONS / 10, "where nothing is exact nothing was compared"


def fill(url: str, index: str, rows: list[dict[str, Any]]) -> None:
    """The rows as the forwarder would have sent them."""
    httpx.put(f"{url}/_index_template/{index}", json=template.body(index, None)).raise_for_status()
    lines: list[bytes] = []
    for number, row in enumerate(rows):
        document = {
            name: rfc3339(value) if NAMES[name].dtype == "time" else value for name, value in row.items() if name != "extra"
        }
        lines += [orjson.dumps({"create": {"_index": f"{index}-1", "_id": str(number)}})]
        lines += [orjson.dumps({"@timestamp": rfc3339(TIME), **document, **(row["extra"] or {})})]
    headers = {"content-type": "application/x-ndjson"}
    answer = httpx.post(f"{url}/_bulk?refresh=true", content=b"\n".join(lines) + b"\n", headers=headers, timeout=60).json()
    assert not answer["errors"], answer


def ask(url: str, index: str, queries: list[dict[str, Any]]) -> list[set[int]]:
    """The numbers of the rows that each query finds."""
    lines: list[bytes] = []
    for query in queries:
        lines += [orjson.dumps({"index": f"{index}-*"}), orjson.dumps({"size": ROWS, "_source": False, "query": query})]
    headers = {"content-type": "application/x-ndjson"}
    answer = httpx.post(f"{url}/_msearch", content=b"\n".join(lines) + b"\n", headers=headers, timeout=120).json()
    for query, one in zip(queries, answer["responses"], strict=True):
        assert one["status"] == 200, (query, one)
    return [{int(hit["_id"]) for hit in one["hits"]["hits"]} for one in answer["responses"]]


def test_the_text_for_tempo_is_traceql(drawn: tuple[list[dict[str, Any]], list[Node]]) -> None:
    parser = Lark(TRACEQL, parser="earley")
    for node in drawn[1]:
        parser.parse(to_traceql(node).text)


@pytest.mark.parametrize(
    "text", ["{ span.a = 'x' }", "{ a > }", "{ span.a = 1 and span.b = 2 }", "span.a = 1", '{ span.a = "x }', "{ !(span.a = 1) }"]
)
def test_the_checked_grammar_refuses_what_is_none(text: str) -> None:
    from lark.exceptions import UnexpectedInput

    with pytest.raises(UnexpectedInput):
        Lark(TRACEQL, parser="earley").parse(text)


def test_the_text_for_tempo_means_the_same(drawn: tuple[list[dict[str, Any]], list[Node]]) -> None:
    from analytics.filters import parse

    rows, nodes = drawn
    for node in nodes:
        asked = to_traceql(node)
        found = wanted(parse(asked.text, NAMES).node, rows)
        assert found >= wanted(node, rows), asked.text
        if asked.exact:
            assert found == wanted(node, rows), asked.text


def test_literals_stand_in_the_type_of_their_field() -> None:
    """An int literal finds no float attribute in Tempo, and says nothing about it."""
    columns = {name: Column(name, name, NAMES[name].dtype) for name in ("inference_steps", "audio_drift_ms")}
    assert to_traceql(Compare(columns["audio_drift_ms"], ">", 100.0)).text == "{ span.audio_drift_ms > 100.0 }"
    assert to_traceql(Compare(columns["inference_steps"], ">", 20)).text == "{ span.inference_steps > 20 }"
