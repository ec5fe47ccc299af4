"""The command line. Only declarations: each command imports what it needs when it runs, so that `--help` answers at once."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from sonoscope import cli_alerts, cli_audit, cli_experiments, cli_keys
from sonoscope.options import DataDir, Json, Url
from telemetry import fields

app = typer.Typer(
    name="sonoscope",
    help="Serves generative-media models and leaves one joined record for every request.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

_TYPES: dict[str, type] = {"int": int, "float": float, "bool": bool, "str": str}


def with_parameters(command: Callable[..., None]) -> Callable[..., None]:
    """Adds one option for each parameter of the table to a command, which receives those that were given as `parameters`."""
    own = [p for p in inspect.signature(command, eval_str=True).parameters.values() if p.name != "parameters"]
    options = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[_TYPES[field.dtype] | None, typer.Option(_flag(field), help=_help(field), show_default=False)],
        )
        for field in fields.PARAMETERS
    ]

    def run(**given: Any) -> None:
        parameters = {field.name: given.pop(field.name) for field in fields.PARAMETERS}
        command(**given, parameters={name: value for name, value in parameters.items() if value is not None})

    run.__doc__ = command.__doc__
    run.__name__ = command.__name__
    run.__signature__ = inspect.Signature([*own, *options])
    run.__annotations__ = {p.name: p.annotation for p in (*own, *options)}
    return run


def _flag(field: fields.Field) -> str:
    flag = "--" + field.name.replace("_", "-")
    return f"{flag}/--no-{flag[2:]}" if field.dtype == "bool" else flag


def _help(field: fields.Field) -> str:
    return field.help + ("" if field.default is None else f" (default: {field.default})")


@app.command()
def up(
    detach: Annotated[bool, typer.Option("-d", "--detach", help="Return as soon as the service answers.")] = False,
    port: Annotated[int | None, typer.Option(help="Port of the service; 0 picks a free one.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    data_dir: DataDir = None,
) -> None:
    """Start the service (in the foreground; Ctrl-C ends it)."""
    from sonoscope.commands import up as command

    command.up(detach=detach, port=port, host=host, data_dir=data_dir)


@app.command()
def down(data_dir: DataDir = None) -> None:
    """Stop what `up` started, and nothing else."""
    from sonoscope.commands import up as command

    command.down(data_dir)


@app.command()
def demo(
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Where to put the video.")] = None,
    language: Annotated[str, typer.Option(help="en or zh: which recording speaks.")] = "en",
    data_dir: DataDir = None,
) -> None:
    """Start the service, make one video from the bundled portrait and speech, and print its record."""
    from sonoscope.commands import demo as command

    command.demo(target=out, language=language, data_dir=data_dir)


@app.command()
@with_parameters
def generate(
    portrait: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A picture with one face.")],
    audio: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A speech recording.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Where to put the video.")] = Path("out.mp4"),
    deadline: Annotated[float | None, typer.Option(help="Seconds after which the work is given up.")] = None,
    url: Url = None,
    data_dir: DataDir = None,
    as_json: Json = False,
    parameters: Any = None,
) -> None:
    """Make a video from PORTRAIT and AUDIO."""
    from sonoscope.commands import generate as command

    command.generate(portrait, audio, out, parameters, deadline=deadline, url=url, data_dir=data_dir, as_json=as_json)


@app.command()
def batch(
    source: Annotated[
        Path,
        typer.Argument(
            exists=True, metavar="MANIFEST-OR-FOLDER", help="CSV or JSON Lines: portrait, audio, parameters; or a folder."
        ),
    ],
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Folder of the videos (default: beside the source).")] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Course mode: make lessons as their files arrive, until Ctrl-C.")] = False,
    at_once: Annotated[int, typer.Option(min=1, max=64, help="Jobs handed in at a time.")] = 8,
    retries: Annotated[int, typer.Option(min=0, help="New jobs for one whose error may pass by itself.")] = 2,
    priority: Annotated[str, typer.Option(help="low, normal or high: what goes first.")] = "low",
    url: Url = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Make many videos, from a manifest or a folder of lessons; run again, it goes on where it was left."""
    from sonoscope.commands import batch as command

    how = command.How(out, watch, at_once, retries, priority)
    command.batch(source, how, url=url, data_dir=data_dir, as_json=as_json)


@app.command()
def recognize(
    target: Annotated[
        Path, typer.Argument(metavar="FILE|DIR|MANIFEST", exists=True, help="A picture, a folder, or a .txt with a path a line.")
    ],
    experiment: Annotated[str | None, typer.Option(help="Name of the experiment that these pictures are part of.")] = None,
    synthetic: Annotated[bool, typer.Option("--synthetic", help="Mark the requests as made by a test or a drill.")] = False,
    url: Url = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Say what is on pictures, in English and Chinese; their folder is on each record as source_prefix."""
    from sonoscope.commands import recognize as command

    labels = {"experiment": experiment, "synthetic": synthetic or None}
    command.recognize(target, labels=labels, url=url, data_dir=data_dir, as_json=as_json)


@app.command()
def record(
    id: Annotated[str, typer.Argument(metavar="ID-OR-VIDEO", help="A request, job or trace id, or a video made here.")],
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Print the one record of a request: what was asked, what happened, how good it was."""
    from sonoscope.commands import record as command

    command.record(id, data_dir=data_dir, as_json=as_json)


@app.command()
def query(
    expression: Annotated[str, typer.Argument(metavar="EXPR", help="A filter: 'inference_steps > 20 && audio_drift_ms > 100'.")],
    since: Annotated[str | None, typer.Option(help="How far back (30m, 1h, 7d), or a time (2026-11-22T18:00:00Z).")] = None,
    until: Annotated[str | None, typer.Option(help="The end, in the same words.")] = None,
    file: Annotated[Path | None, typer.Option("--input", exists=True, dir_okay=False, help="Request rows: Parquet or CSV.")] = None,
    count: Annotated[bool, typer.Option("--count", help="Only how many.")] = False,
    group: Annotated[str | None, typer.Option(help="How many for each value of this field.")] = None,
    shape: Annotated[str, typer.Option("--format", help="table, json, csv or parquet.")] = "table",
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Where to write the rows.")] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Find requests by what was asked, what happened and how good it was."""
    from sonoscope.commands import query as command

    asked = command.Shape(count=count, group=group, format=shape, out=out, as_json=as_json)
    command.query(expression, command.Bounds(since, until), asked, file=file, data_dir=data_dir)


@app.command()
def explain(
    expression: Annotated[
        str, typer.Argument(metavar="EXPR-OR-VIDEO", help="Which requests: 'audio_drift_ms > 100'; or a video file.")
    ],
    among: Annotated[str | None, typer.Option(help="Compare only among the requests that pass this filter.")] = None,
    since: Annotated[str | None, typer.Option(help="How far back (30m, 1h, 7d), or a time (2026-11-22T18:00:00Z).")] = None,
    until: Annotated[str | None, typer.Option(help="The end, in the same words.")] = None,
    file: Annotated[Path | None, typer.Option("--input", exists=True, dir_okay=False, help="Request rows: Parquet or CSV.")] = None,
    show_queries: Annotated[bool, typer.Option("--show-queries", help="Of a video: print the query of every number.")] = False,
    department: Annotated[str | None, typer.Option(help="Look at this department's requests only.")] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Say what differs between the requests that pass a filter and the rest; of a video: what is wrong, and where it comes from."""
    from sonoscope.commands import explain as command
    from sonoscope.commands.query import Bounds

    if Path(expression).is_file():
        from sonoscope.commands.explain_file import explain_file

        video, bounds = Path(expression), Bounds(since, until)
        explain_file(
            video, bounds, among=among, file=file, data_dir=data_dir, show_queries=show_queries, as_json=as_json,
            department=department,
        )  # fmt: skip
        return
    command.explain(
        expression, Bounds(since, until), among=among, file=file, data_dir=data_dir, as_json=as_json, department=department
    )


@app.command()
def analyze(
    outcome: Annotated[str, typer.Option(help="What to study: a number, a truth, or status (did it fail?).")] = "audio_drift_ms",
    since: Annotated[str | None, typer.Option(help="How far back (30m, 1h, 7d), or a time (2026-11-22T18:00:00Z).")] = None,
    until: Annotated[str | None, typer.Option(help="The end, in the same words.")] = None,
    file: Annotated[Path | None, typer.Option("--input", exists=True, dir_okay=False, help="Request rows: Parquet or CSV.")] = None,
    budget: Annotated[float | None, typer.Option(help="Latency (s) that the recommended settings must keep.")] = None,
    language: Annotated[str, typer.Option(help="en or zh: the language of the sentences.")] = "en",
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Say which parameters go with an outcome, by how much, from where on, and which settings to use."""
    from sonoscope.commands import analyze as command
    from sonoscope.commands.query import Bounds

    asked = command.Question(outcome, budget, language)
    command.analyze(asked, Bounds(since, until), file=file, data_dir=data_dir, as_json=as_json)


@app.command()
def replay(
    where: Annotated[str, typer.Option("--where", metavar="EXPR", help="Which requests: 'audio_drift_ms > 100'.")],
    change: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A setting to change; several are one change.")
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, max=100, help="How often; from the second time on with new seeds.")] = 3,
    limit: Annotated[int, typer.Option(min=1, help="Requests at most, drawn at random.")] = 12,
    experiment: Annotated[str | None, typer.Option(help="Its name (default: one made from what is asked).")] = None,
    since: Annotated[str | None, typer.Option(help="How far back (30m, 1h, 7d), or a time (2026-11-22T18:00:00Z).")] = None,
    until: Annotated[str | None, typer.Option(help="The end, in the same words.")] = None,
    replica: Annotated[str | None, typer.Option(help="Not possible: the service cannot be asked for a replica.")] = None,
    host: Annotated[str | None, typer.Option(help="Not possible, either; --url names another service.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Start without asking.")] = False,
    url: Url = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Make past requests again, at other settings and as they were, and say whether the settings cause the difference."""
    from sonoscope.commands import replay as command
    from sonoscope.commands.query import Bounds

    asked = command.Asked(where, tuple(change or ()), repeats, limit, experiment)
    bounds = Bounds(since, until)
    command.replay(asked, bounds, target=replica or host, yes=yes, url=url, data_dir=data_dir, as_json=as_json)


@app.command()
def sweep(
    files: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, help="Portraits and recordings, in any order.")],
    grid: Annotated[
        list[str] | None, typer.Option(metavar="NAME=A,B,…", help="Values to try of a setting; may be repeated.")
    ] = None,
    fixed: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A setting that is the same in all.")
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, max=100, help="Blocks for each pair of portrait and recording.")] = 1,
    adaptive: Annotated[int | None, typer.Option(min=2, help="Try at most so many combinations, chosen by what was seen.")] = None,
    outcome: Annotated[str, typer.Option(help="What the adaptive form makes better.")] = "audio_drift_ms",
    experiment: Annotated[str | None, typer.Option(help="Its name (default: one made from what is asked).")] = None,
    fail_if: Annotated[str | None, typer.Option(metavar="EXPR", help="Exit with 1 if: 'p95(audio_drift_ms) > 80'.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Start without asking.")] = False,
    url: Url = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Try settings on every pair of portrait and recording, in random order, and say what they cause."""
    from sonoscope.commands import sweep as command

    asked = command.Asked(tuple(files), tuple(grid or ()), tuple(fixed or ()), repeats, adaptive, outcome, experiment, fail_if)
    command.sweep(asked, yes=yes, url=url, data_dir=data_dir, as_json=as_json)


@app.command(context_settings={"ignore_unknown_options": True})
def score(
    id: Annotated[str, typer.Argument(help="A request or job id.")],
    value: Annotated[int, typer.Argument(metavar="-1|0|1", help="-1 bad, 0 undecided, 1 good.")],
    comment: Annotated[str | None, typer.Option(help="Why, in words.")] = None,
    url: Url = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Judge a finished request; the last judgement counts, and is an outcome like any other."""
    from sonoscope.commands import score as command

    command.score(id, value, comment, url=url, data_dir=data_dir, as_json=as_json)


@app.command()
def measure(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A video with one talking face and a soundtrack.")],
    curve: Annotated[Path | None, typer.Option(help="Where to keep the curve that was found (Parquet).")] = None,
    as_json: Json = False,
) -> None:
    """Say how late a video's sound is against the lips, from the file alone."""
    from sonoscope.commands import measure as command

    command.measure(file, curve=curve, as_json=as_json)


@app.command()
def assets(
    name: Annotated[str, typer.Argument(help="Part of a file name: letters, pinyin or characters; one letter may be off.")],
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Find uploads by the name of their file."""
    from sonoscope.commands import assets as command

    command.assets(name, data_dir=data_dir, as_json=as_json)


@app.command()
def forward(
    once: Annotated[bool, typer.Option("--once", help="Ship what is there, then end.")] = False,
    for_s: Annotated[float | None, typer.Option("--for", help="Give up after so many seconds.")] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Ship spans and events to the configured servers (`up` does it by itself)."""
    from sonoscope.commands import forward as command

    command.forward(once=once, for_s=for_s, data_dir=data_dir, as_json=as_json)


@app.command()
def consume(
    once: Annotated[bool, typer.Option("--once", help="End when every request so far has its result.")] = False,
    url: Url = None,
    data_dir: DataDir = None,
) -> None:
    """Take requests from a Kafka topic and give results to another, until Ctrl-C (docs/kafka.md).

    Off unless SONOSCOPE_KAFKA__BROKERS names brokers. Topics: SONOSCOPE_KAFKA__REQUESTS (sonoscope-requests), __RESULTS
    (sonoscope-results) and __DEAD_LETTERS (sonoscope-dead-letters); they must be there. A request is JSON: the prompt of POST
    /generate with asset ids, or with portrait and audio in base64. Needs the extra `kafka`. One consumer a group; keep its data
    folder: what is owed to whom is in kafka.db there.
    """
    from sonoscope.commands import consume as command

    command.consume(once=once, url=url, data_dir=data_dir)


@app.command()
def connect(
    tempo: Annotated[str | None, typer.Option(metavar="URL", help="Tempo's query API, such as http://tempo:3200.")] = None,
    elasticsearch: Annotated[str | None, typer.Option(metavar="URL", help="Elasticsearch, such as https://logs:9200.")] = None,
    map: Annotated[
        Path | None, typer.Option("--map", exists=True, dir_okay=False, help="Whose names are which columns: a mapping.yaml.")
    ] = None,
    index: Annotated[str | None, typer.Option(help="Indices of the logs, without the -* of their dates.")] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Look at an existing Tempo and Elasticsearch, say what they hold, and read from them from now on."""
    from sonoscope.commands import connect as command

    command.connect(tempo=tempo, elasticsearch=elasticsearch, map=map, index=index, data_dir=data_dir, as_json=as_json)


@app.command()
def export(
    target: Annotated[Path, typer.Argument(help="A new folder, or a new .zip.")],
    expression: Annotated[str | None, typer.Option("--where", help="Only requests that pass this filter.")] = None,
    since: Annotated[str | None, typer.Option(help="How far back (30m, 1h, 7d), or a time (2026-11-22T18:00:00Z).")] = None,
    until: Annotated[str | None, typer.Option(help="The end, in the same words.")] = None,
    limit: Annotated[int, typer.Option(help="Cases at most, the newest.", min=1)] = 1000,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Gather hard cases (not sure, judged bad, rare labels) with their media and records, for labelling and retraining."""
    from sonoscope.commands import export as command
    from sonoscope.commands.query import Bounds

    bounds = Bounds(since, until)
    command.export(target, bounds, expression=expression, limit=limit, data_dir=data_dir, as_json=as_json)


@app.command()
def world(
    window: Annotated[str, typer.Option(help="How long now is: 1h, 1d, 7d.")] = "1d",
    against: Annotated[str, typer.Option(help="How long the reference window before it is.")] = "7d",
    operation: Annotated[str, typer.Option(help="generate or recognize.")] = "generate",
    language: Annotated[str, typer.Option(help="en or zh: the language of the sentences.")] = "en",
    file: Annotated[Path | None, typer.Option("--input", exists=True, dir_okay=False, help="Request rows: Parquet or CSV.")] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Say whether labels, confidences, inputs and settings have shifted against a reference window."""
    from sonoscope.commands import world as command

    said = "zh" if language == "zh" else "en"
    command.world(window, against, operation=operation, language=said, file=file, data_dir=data_dir, as_json=as_json)


app.add_typer(cli_experiments.app, name="experiments")
app.add_typer(cli_alerts.app, name="alerts")
app.add_typer(cli_keys.app, name="keys")
app.add_typer(cli_audit.app, name="audit")


@app.command()
def doctor(data_dir: DataDir = None, as_json: Json = False) -> None:
    """Say what is installed, which device, which ports, what is missing and how to get it."""
    from sonoscope.commands import doctor as command

    command.doctor(data_dir=data_dir, as_json=as_json)


def main() -> None:
    """Entry point of the `sonoscope` command."""
    app()
