"""The commands `sonoscope audit …`. Only declarations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sonoscope.options import DataDir, Json

app = typer.Typer(no_args_is_help=True, help="Who asked for what, when, how, and who saw it; and that nobody changed it.")
Owner = Annotated[str | None, typer.Option(help="A person: the name of a key, or what X-Owner said.")]
Request = Annotated[str | None, typer.Option(help="A request id.")]


@app.command("list")
def show(
    department: Annotated[str | None, typer.Option(help="Only this one.")] = None,
    owner: Owner = None,
    request: Request = None,
    since: Annotated[str | None, typer.Option(help="From then on: 2026-11-26 or 2026-11-26T08:00Z.")] = None,
    until: Annotated[str | None, typer.Option(help="Up to then.")] = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Write all to a .csv, .parquet or .jsonl file.")] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Show or export entries, oldest first."""
    from sonoscope.commands import audit as command

    asked = {"department": department, "owner": owner, "request": request, "since": since, "until": until}
    command.show(**asked, target=out, data_dir=data_dir, as_json=as_json)


@app.command("verify")
def verify(data_dir: DataDir = None, as_json: Json = False) -> None:
    """Look at the whole chain; say at which entry it does not hold."""
    from sonoscope.commands import audit as command

    command.verify(data_dir=data_dir, as_json=as_json)


@app.command("erase")
def erase(
    why: Annotated[str, typer.Argument(help="The reason; it is kept.")],
    owner: Owner = None,
    request: Request = None,
    older_than: Annotated[str | None, typer.Option(help="What is older: 400d.")] = None,
    data_dir: DataDir = None,
) -> None:
    """Delete what the trail says of a person, a request or a time long ago; the chain still holds, and says that it was done."""
    from sonoscope.commands import audit as command

    command.erase(why, owner=owner, request=request, older_than=older_than, data_dir=data_dir)
