"""A parameter that is added to the table is everywhere: validation, OpenAPI, advice, spans, events, Arrow, command line."""

import json
import subprocess
import sys

SCRIPT = """
import json, sys, pathlib
from telemetry import fields
limits = {"minimum": 0.0, "maximum": 3.0, "advised": (1.0, 2.0)}
new = fields.Field("mouth_gain", "parameter", "float", "how wide the mouth opens", unit="x", default=1.5, **limits)
fields.PARAMETERS += (new,); fields.FIELDS += (new,); fields.BY_NAME[new.name] = new

from typer.testing import CliRunner
from serve.schema import generate_body, generate_answer, parse_parameters
from sonoscope.cli import app
from telemetry.context import RequestContext
from telemetry.ids import new_traceparent
from telemetry.record import RequestRecord
from telemetry.segments import read_lines
from telemetry.tracing import setup

folder = pathlib.Path(sys.argv[1])
values = parse_parameters({"mouth_gain": "2.5"})
telemetry = setup("test", folder)
context = RequestContext("r1", new_traceparent(), job_id="j1")
record = RequestRecord(telemetry, context, started_ns=1, values=values)
record.advise(*fields.advise(values))
row = record.finish()
telemetry.shutdown()
span = json.loads(next(read_lines(folder / "journal", "spans")))["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
events = [json.loads(line) for line in read_lines(folder / "journal", "events")]
form = generate_body()["content"]["multipart/form-data"]["schema"]["properties"]
print(json.dumps({
    "default": parse_parameters({})["mouth_gain"],
    "parsed": values["mouth_gain"],
    "openapi": form["mouth_gain"],
    "arrow": str(fields.arrow_schema().field("mouth_gain").type),
    "span": next(a["value"] for a in span["attributes"] if a["key"] == "mouth_gain"),
    "event": events[-1]["mouth_gain"],
    "advice": row["advice"],
    "answer": generate_answer({**row, "latency_s": 1.0}, "").parameters["mouth_gain"],
    "help": "--mouth-gain" in CliRunner().invoke(app, ["generate", "--help"], env={"COLUMNS": "200"}).output,
}))
"""


def test_a_parameter_added_in_one_place_is_seen_everywhere(tmp_path) -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["default"] == 1.5
    assert seen["parsed"] == seen["event"] == seen["answer"] == 2.5
    assert seen["openapi"]["minimum"] == 0.0
    assert seen["openapi"]["default"] == 1.5
    assert "how wide the mouth opens" in seen["openapi"]["description"]
    assert seen["arrow"] == "double"
    assert seen["span"] == {"doubleValue": 2.5}
    assert seen["advice"] == ["mouth_gain_high"]
    assert seen["help"]
