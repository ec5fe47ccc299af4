"""`sonoscope keys`: who may use the service, from the database of the jobs."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from pathlib import Path

from rich.table import Table

from serve.keys import KeyTable
from sonoscope.commands.common import err, fail, out, print_json, settings
from telemetry.roles import ROLES, Role

_UNITS = {"m": 60.0, "h": 3600.0, "d": 86_400.0}


def add(
    name: str,
    department: str,
    role: str,
    *,
    expires: str | None,
    per_minute: int | None,
    at_once: int | None,
    data_dir: Path | None,
) -> None:
    """Makes a key and prints it, alone on standard output."""
    if role not in ROLES:
        fail(f"--role {role} is not known", f"The roles are {', '.join(ROLES)}.")
    for option, text in (("NAME", name), ("--department", department)):
        if not text.strip() or len(text) > 128 or not text.isprintable():
            fail(f"{option} must be 1 to 128 printable characters")
    until = None if expires is None else time.time() + seconds(expires, "--expires")
    known: Role = next(one for one in ROLES if one == role)
    out.print(_table(data_dir).add(name, department, known, expires=until, per_minute=per_minute, at_once=at_once), soft_wrap=True)
    err.print("[dim]Keep it now: only a hash of it is stored. Send it as Authorization: Bearer, or in $SONOSCOPE_API_KEY.[/dim]")


def show(*, data_dir: Path | None, as_json: bool) -> None:
    """Prints every key without its secret."""
    rows = [{name: value for name, value in row.items() if name != "secret_hash"} for row in _table(data_dir).list()]
    if as_json:
        print_json(rows)
        return
    table = Table(box=None, padding=(0, 2, 0, 0))
    for title in ("id", "name", "department", "role", "made", "ends", "a minute", "at once"):
        table.add_column(title)
    for row in rows:
        over = row["expires"] is not None and row["expires"] <= time.time()
        ends = "never" if row["expires"] is None else _time(row["expires"]) + (" (over)" if over else "")
        limits = ("-" if row[name] is None else str(row[name]) for name in ("per_minute", "at_once"))
        table.add_row(row["key_id"], row["name"], row["department"], row["role"], _time(row["created"]), ends, *limits)
    out.print(table if rows else "There are no keys: sonoscope keys add NAME --department DEPARTMENT --role operator")


def revoke(key_id: str, *, data_dir: Path | None) -> None:
    """Ends a key."""
    if not _table(data_dir).revoke(key_id):
        fail(f"there is no valid key {key_id}", "sonoscope keys list shows their ids.")
    out.print(f"{key_id} is over; a door that has just seen it believes it for 5 s more.")


def rotate(key_id: str, *, grace: str, data_dir: Path | None) -> None:
    """Makes a key with the rights of an old one, which ends after `grace`; prints the new one alone on standard output."""
    made = _table(data_dir).rotate(key_id, after_s=seconds(grace, "--grace"))
    if made is None:
        fail(f"there is no valid key {key_id}", "sonoscope keys list shows their ids.")
    out.print(made, soft_wrap=True)
    err.print(f"[dim]{key_id} ends in {grace}.[/dim]")


def seconds(text: str, option: str) -> float:
    """`90d`, `12h` or `30m` in seconds. Ends the command where it is neither."""
    found = re.fullmatch(r"(\d{1,5})([mhd])", text)
    if found is None:
        fail(f"{option} {text} is no time", "Say 30m, 12h or 90d.")
    return int(found[1]) * _UNITS[found[2]]


def _table(data_dir: Path | None) -> KeyTable:
    configured = settings(data_dir=data_dir)
    configured.prepare()
    return KeyTable(configured.jobs_url)


def _time(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(" ", "minutes")
