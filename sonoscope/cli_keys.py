"""The commands `sonoscope keys …`. Only declarations."""

from __future__ import annotations

from typing import Annotated

import typer

from sonoscope.options import DataDir, Json

app = typer.Typer(no_args_is_help=True, help="API keys: who may use a service that is not on loopback only.")
KeyId = Annotated[str, typer.Argument(metavar="ID", help="The key's id, as `list` shows it.")]


@app.command("add")
def add(
    name: Annotated[str, typer.Argument(help="Whose key it is; records hold a keyed hash of it.")],
    department: Annotated[str, typer.Option(help="Whose assets, jobs and videos it sees.")],
    role: Annotated[str, typer.Option(help="viewer (reads), operator (also makes), auditor (reads every department's).")],
    expires: Annotated[str | None, typer.Option(help="Valid for so long: 12h, 90d (default: until it is revoked).")] = None,
    per_minute: Annotated[int | None, typer.Option(min=1, help="Requests a minute, at each replica of the door.")] = None,
    at_once: Annotated[int | None, typer.Option(min=1, help="Jobs of the department that have not ended.")] = None,
    data_dir: DataDir = None,
) -> None:
    """Make a key and print it, once."""
    from sonoscope.commands import keys as command

    command.add(name, department, role, expires=expires, per_minute=per_minute, at_once=at_once, data_dir=data_dir)


@app.command("list")
def show(data_dir: DataDir = None, as_json: Json = False) -> None:
    """Show the keys, without their secrets."""
    from sonoscope.commands import keys as command

    command.show(data_dir=data_dir, as_json=as_json)


@app.command("revoke")
def revoke(key_id: KeyId, data_dir: DataDir = None) -> None:
    """End a key now."""
    from sonoscope.commands import keys as command

    command.revoke(key_id, data_dir=data_dir)


@app.command("rotate")
def rotate(
    key_id: KeyId,
    grace: Annotated[str, typer.Option(help="How long the old key stays valid: 30m, 12h, 7d.")] = "12h",
    data_dir: DataDir = None,
) -> None:
    """Make a new key with the same rights, and let the old one end."""
    from sonoscope.commands import keys as command

    command.rotate(key_id, grace=grace, data_dir=data_dir)
