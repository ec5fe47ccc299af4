"""`sonoscope recognize`: pictures of a file, a folder or a manifest to labels."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from serve.schema import PictureResult
from sonoscope.client import Client
from sonoscope.commands.common import err, errors, fail, out, print_json, service_url
from sonoscope.commands.pictures import Found, groups, pictures
from telemetry.errors import RequestError
from telemetry.names import marked

TOGETHER, AT_A_TIME = 16, 2
"""Pictures in a request, and requests at a time: one is decoded while the other is classified. More would only wait there."""

Line = tuple[Found, PictureResult | None, str]
"""A picture, what came of it, and why nothing did."""


def recognize(target: Path, *, labels: dict[str, Any], url: str | None, data_dir: Path | None, as_json: bool) -> None:
    """Prints a line a picture, or all of it as JSON. Ends the command with 1 where a picture failed."""
    found = pictures(target)
    if not found:
        fail(f"{target} holds no picture", "JPEG, PNG, WebP, BMP, GIF and TIFF are looked for; a manifest has a path a line.")
    with errors(as_json), Client(service_url(url, data_dir)) as client:
        lines = [(one, None, one.trouble) for one in found if one.trouble] + _sent(client, found, labels)
    order = {id(one): place for place, one in enumerate(found)}
    lines.sort(key=lambda line: order[id(line[0])])
    failed = sum(result is None or result.status != "ok" for _, result, _ in lines)
    if as_json:
        print_json({"pictures": len(lines), "failed": failed, "results": [_plain(line) for line in lines]})
    else:
        for line in lines:
            _show(line)
        if len(lines) > 1:
            err.print(f"[dim]{len(lines)} pictures, {failed} failed; sonoscope query 'operation = recognize'[/dim]")
    if failed:
        raise typer.Exit(1)


def _sent(client: Client, found: Sequence[Found], labels: dict[str, Any]) -> list[Line]:
    """Every picture that can be sent, in groups, with a bar."""
    todo = list(groups(found, TOGETHER))
    columns = (TextColumn("recognizing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    lines: list[Line] = []
    with Progress(*columns, console=err, transient=True) as progress, ThreadPoolExecutor(AT_A_TIME) as pool:
        task = progress.add_task("", total=sum(map(len, todo)))
        for group, results in zip(todo, pool.map(lambda one: _group(client, one, labels), todo), strict=True):
            lines += results
            progress.advance(task, len(group))
    return lines


def _group(client: Client, group: Sequence[Found], labels: dict[str, Any]) -> list[Line]:
    try:
        answer = client.recognize([one.path for one in group], source_prefix=group[0].prefix, **labels)
    except RequestError as error:
        if error.http_status in (401, 403, 404):
            raise
        return [(one, None, f"{error.type}: {error.message}") for one in group]
    except OSError as error:
        return [(one, None, error.strerror or type(error).__name__) for one in group]
    return [(one, result, "") for one, result in zip(group, answer.results, strict=True)]


def _plain(line: Line) -> dict[str, Any]:
    one, result, trouble = line
    about = {"path": str(one.path), "source_prefix": one.prefix}
    return about | ({"status": "error", "error": {"message": trouble}} if result is None else result.model_dump())


def _show(line: Line) -> None:
    one, result, trouble = line
    name = escape(marked(str(one.path)))
    if result is None or result.error is not None:
        why = trouble if result is None or result.error is None else f"{result.error.type}: {result.error.message}"
        out.print(f"{name}  [red]{escape(why)}[/red]", soft_wrap=True)
        return
    best = result.top3[0]
    said = f"{best.zh} {best.en} {best.score:.2f}"
    said = f"[dim]not sure: {said}[/dim]" if result.low_confidence else said
    advice = [code for code in result.advice if code != "low_confidence"]
    out.print(f"{name}  {said}" + (f"  [yellow]{', '.join(advice)}[/yellow]" if advice else ""), soft_wrap=True)
