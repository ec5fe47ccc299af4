"""Anything at all as a filter: one that every store can be asked, or a FilterError with its place."""

from __future__ import annotations

from pathlib import Path

import duckdb
import orjson
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from analytics.columns import Column, vocabulary
from analytics.filters import FilterError, parse
from analytics.filters.remote import to_elasticsearch, to_traceql
from analytics.filters.sql import to_sql
from tests.fuzzing import cases, nothing_left_behind, sent_bytes

KNOWN = vocabulary([Column("mine", "mine", "any"), Column("mine.more", "mine.more", "any")])
TYPES = {"int": pa.int64(), "float": pa.float64(), "bool": pa.bool_(), "str": pa.string(), "list": pa.list_(pa.string())}
SEEDS = (
    b'{ status = "error" && latency_s > 3.5 }',
    b'fps >= 25 || !(min_resolution != 512) && department =~ "fi.*"',
    b'started_at > "2026-11-22T18:00:00Z" && 200ms < run_inference_ms && mine = 5',
    b"advice = `fps_low` && seed = nil && cache_hit && mine.more = true && duration > 1.5s",
)
WORDS = [
    "status", "latency_s", "fps", "mine", "seed", "advice", "cache_hit", "started_at", "(", ")", "!", "&&", "||", "=", "=~", "!~",
    "<", ">=", "nil", "true", "1e999", "9" * 400, "-5", "3h", '"x"', '"\\ud800"', '"(a"', "`[`", '"9999-12-31"',
    '"0001-01-01T00:00+14:00"', "9" * 400 + "h", "{", "}", "'", "\u2028", "\0", ".", "名",
]  # fmt: skip


@pytest.fixture(scope="module")
def rows() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    columns = {c.column: pa.timestamp("ns", tz="UTC") if c.dtype == "time" else TYPES[c.dtype] for c in vocabulary().values()}
    connection.register("requests", pa.schema([*columns.items(), ("extra", pa.string())]).empty_table())
    return connection


@pytest.fixture(autouse=True)
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: duckdb.DuckDBPyConnection):
    with nothing_left_behind(tmp_path, monkeypatch):
        yield


@cases(300)
@given(
    st.one_of(
        sent_bytes(SEEDS).map(lambda data: data.decode("utf-8", "surrogateescape")),
        st.lists(st.sampled_from(WORDS), max_size=9).map(" ".join),
    )
)
@example("(" * 5000 + "cache_hit" + ")" * 5000)
@example("!" * 5000 + "cache_hit")
@example("!(fps>1&&" * 150 + "cache_hit" + ")" * 150)
@example("fps>1||" * 2000 + "fps>2")
@example("fps>1||" * 20_000 + "fps>2")
@example("mine = " + "9" * 400)
@example("mine = " + "9" * 5000)
@example("mine = 1e999")
@example("fps < 1e999")
@example("seed = " + "9" * 5000)
@example("latency_s > " + "9" * 400 + "h")
@example('status = "\\ud800"')
@example('status =~ "\\ud800"')
@example("status = `\ud800`")
@example('mine = "\\u0000"')
@example('started_at > "9999-12-31"')
@example('started_at > "0001-01-01T00:00:00+14:00"')
@example('status =~ "(x{1000}){1000}"')
def test_every_store_can_be_asked_or_a_filter_error(rows: duckdb.DuckDBPyConnection, text: str) -> None:
    place = 0
    try:
        found = parse(text, KNOWN)
    except FilterError as error:
        found, place = None, error.position
    if found is None:
        assert 0 <= place <= len(text)
        return
    orjson.dumps(to_elasticsearch(found.node).query)
    to_traceql(found.node).text.encode()
    sql = to_sql(found.node)
    assert rows.execute(f"SELECT count(*) FROM requests WHERE {sql.text}", sql.parameters).fetchall() == [(0,)]
