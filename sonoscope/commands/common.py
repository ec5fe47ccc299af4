"""What the commands share: settings, the address of the service, errors in one shape."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import typer
from pydantic import ValidationError
from rich.console import Console

from serve.settings import Settings
from sonoscope.client import Unreachable
from sonoscope.run import read_run
from telemetry.errors import RequestError

out = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
err = Console(stderr=True, highlight=False)


def settings(**given: Any) -> Settings:
    """The settings with the flags that were given on top. Ends the command where one is bad."""
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        fail(
            f"setting {'.'.join(map(str, first['loc']))}: {first['msg']}",
            "sonoscope.toml and SONOSCOPE_* are read; see the README.",
        )


def service_url(url: str | None, data_dir: Path | None) -> str:
    """The address that was given, or that of the running `up`. Ends the command where nothing runs."""
    if url:
        return url
    run = read_run(settings(data_dir=data_dir).data_dir)
    if run is None or not run.alive:
        fail("no service runs here", "Start one with `sonoscope up -d`, or name one with --url.")
    return run.url


def fail(message: str, hint: str | None = None) -> NoReturn:
    """Prints the error and the way out, and ends the command with 1."""
    err.print(f"[red]error:[/red] {message}", soft_wrap=True)
    if hint:
        err.print(f"[dim]{hint}[/dim]", soft_wrap=True)
    raise typer.Exit(1)


@contextlib.contextmanager
def errors(as_json: bool = False) -> Iterator[None]:
    """Turns what the service refuses into a message and exit status 1; with `as_json` also into JSON on standard output."""
    try:
        yield
    except RequestError as error:
        if as_json:
            print_json({"error": error.as_dict()})
        where = f" ({error.field})" if error.field else ""
        fail(f"{error.type}{where}: {error.message}", error.hint)
    except Unreachable as error:
        fail(f"the service does not answer: {error}", "Start it with `sonoscope up -d`.")


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2))
