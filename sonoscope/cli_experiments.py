"""The commands `sonoscope experiments …`. Only declarations."""

from __future__ import annotations

from typing import Annotated

import typer

from sonoscope.options import DataDir, Json

app = typer.Typer(help="List experiments, show what one says, compare two.", invoke_without_command=True)
Outcomes = Annotated[list[str] | None, typer.Option("--outcome", help="What to look at; may be repeated (default: all there is).")]


@app.callback()
def default(context: typer.Context, data_dir: DataDir = None, as_json: Json = False) -> None:
    """List experiments (the default), show what one says, compare two."""
    from sonoscope.commands import experiments as command

    if context.invoked_subcommand is None:
        command.listed(data_dir, as_json=as_json)


@app.command("list")
def listed(data_dir: DataDir = None, as_json: Json = False) -> None:
    """List the experiments among the requests, the newest first."""
    from sonoscope.commands import experiments as command

    command.listed(data_dir, as_json=as_json)


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="Name of the experiment.")],
    outcome: Outcomes = None,
    fail_if: Annotated[str | None, typer.Option(metavar="EXPR", help="Exit with 1 if: 'p95(audio_drift_ms) > 80'.")] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Say what an experiment shows: the effect of each setting, with its interval, and whether it is a cause."""
    from sonoscope.commands import experiments as command

    command.show(name, data_dir, outcomes=outcome or [], fail_if=fail_if, as_json=as_json)


@app.command("compare")
def compare(
    first: Annotated[str, typer.Argument(metavar="A", help="Name of an experiment.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Name of another one.")],
    outcome: Outcomes = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Set experiment B against A where input and settings are the same."""
    from sonoscope.commands import experiments as command

    command.compare(first, second, data_dir, outcomes=outcome or [], as_json=as_json)
