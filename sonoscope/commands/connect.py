"""`sonoscope connect`: looks at somebody's Tempo and Elasticsearch, says what they hold, and keeps their addresses."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import asdict
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import orjson
import typer
from rich.table import Table

from analytics.stores import inspect
from analytics.stores.elasticsearch_http import ElasticError
from analytics.stores.elasticsearch_http import connect as elastic_client
from analytics.stores.inspect import Finding
from analytics.stores.mapping import Mapping, read_mapping
from analytics.stores.tempo import TempoStore
from serve.settings import Settings
from sonoscope.commands.common import err, fail, out, print_json, settings

_MARKS = {"ok": "[green]ok[/green]", "missing": "[red]missing[/red]", "note": "[yellow]note[/yellow]"}
_SECRETS = "ELASTICSEARCH_USERNAME and ELASTICSEARCH_PASSWORD, or ELASTICSEARCH_API_KEY"


def connect(
    *, tempo: str | None, elasticsearch: str | None, map: Path | None, index: str | None, data_dir: Path | None, as_json: bool
) -> None:
    """Prints the findings and keeps the addresses; ends with 1, and keeps nothing, where a server does not let us read."""
    if not tempo and not elasticsearch:
        fail("no address", "Give --tempo URL, --elasticsearch URL, or both.")
    configured = settings(data_dir=data_dir)
    for url in filter(None, (tempo, elasticsearch)):
        _check_address(url)
    findings = _look(configured, tempo, elasticsearch, map, index or configured.elasticsearch_index)
    bad = any(finding.state == "missing" for finding in findings)
    kept = [] if bad else _keep(configured, tempo, elasticsearch, map, index)
    if as_json:
        print_json({"findings": [asdict(finding) for finding in findings], "kept": kept})
    else:
        _print(findings, kept)
    if bad:
        raise typer.Exit(1)


def _check_address(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        fail(f"{url} is not an address", "Write it as http://host:port or https://host:port.")
    if parts.username or parts.password:
        clean = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
        fail("an address with a password in it is not kept", f"Give {clean} and set {_SECRETS} in the environment.")


def _look(configured: Settings, tempo: str | None, elasticsearch: str | None, map: Path | None, index: str) -> list[Finding]:
    mapping = _mapping(configured, map)
    findings: list[Finding] = []
    password, key = configured.elasticsearch_password, configured.elasticsearch_api_key
    with err.status("looking at the servers"):
        store = TempoStore(tempo, mapping=mapping) if tempo else None
        if store:
            findings += inspect.traces(store)
        if not elasticsearch:
            return findings
        try:
            client = elastic_client(
                elasticsearch,
                username=configured.elasticsearch_username,
                password=password.get_secret_value() if password else None,
                api_key=key.get_secret_value() if key else None,
                ca_file=str(configured.elasticsearch_ca_file) if configured.elasticsearch_ca_file else None,
            )
        except ElasticError as error:
            return [*findings, Finding("Elasticsearch", "missing", str(error), f"Set {_SECRETS}.")]
        with client:
            findings += inspect.logs(client, elasticsearch, index, mapping)
            if store and not any(finding.state == "missing" for finding in findings):
                findings.append(inspect.both(store, client, elasticsearch, index))
    return findings


def _mapping(configured: Settings, map: Path | None) -> Mapping:
    path = map or configured.data_dir / "mapping.yaml"
    try:
        return read_mapping(path) if map or path.exists() else Mapping()
    except (OSError, ValueError) as error:
        fail(str(error), "docs/any_service.md describes the mapping file.")


def _keep(configured: Settings, tempo: str | None, elasticsearch: str | None, map: Path | None, index: str | None) -> list[str]:
    """Writes addresses to the configuration file and the mapping to the data folder; returns what it wrote where."""
    values = {"tempo_url": tempo, "elasticsearch_url": elasticsearch, "elasticsearch_index": index}
    given = {name: value for name, value in values.items() if value}
    path = Path(os.environ.get("SONOSCOPE_CONFIG", "sonoscope.toml"))
    try:
        write_settings(path, given)
        if map is None:
            return [f"{', '.join(given)} in {path}"]
        target = configured.data_dir / "mapping.yaml"
        configured.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not target.exists() or not target.samefile(map):
            shutil.copyfile(map, target)
    except OSError as error:
        fail(f"the configuration cannot be kept: {error}")
    return [f"{', '.join(given)} in {path}", f"the mapping as {target}"]


def write_settings(path: Path, values: dict[str, str]) -> None:
    """Sets top-level texts of a TOML file and leaves every other line as it is. Raises OSError."""
    text = path.read_text("utf-8") if path.exists() else ""
    head, table, rest = _head(text)
    for name, value in values.items():
        line = f"{name} = {orjson.dumps(value).decode()}"
        head, replaced = re.subn(rf"(?m)^\s*{name}\s*=.*$", lambda _, line=line: line, head)
        if not replaced:
            head = f"{head.rstrip()}\n{line}\n" if head.strip() else f"{line}\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(head + ("\n" if table and not head.endswith("\n\n") else "") + table + rest, "utf-8")


def _head(text: str) -> tuple[str, str, str]:
    """What stands before the first table, the table's line, and the rest."""
    found = re.search(r"(?m)^\s*\[.*$", text)
    return (text, "", "") if found is None else (text[: found.start()], found[0].lstrip(), text[found.end() :])


def _print(findings: list[Finding], kept: list[str]) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for finding in findings:
        table.add_row(
            _MARKS[finding.state], finding.name, finding.detail + (f"\n[dim]{finding.remedy}[/dim]" if finding.remedy else "")
        )
    out.print(table)
    for line in kept:
        out.print(f"kept {line}")
    if kept:
        out.print("[dim]Passwords stay in the environment. Try: sonoscope query '{}' --since 1h --count[/dim]")
