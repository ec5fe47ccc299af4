"""`sonoscope record`: the joined record, as a waterfall or as JSON."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from rich.markup import escape

from analytics.baseline import Baseline, baselines
from analytics.record import Record, load
from analytics.requests import joined
from analytics.rules.engine import Match, matches
from analytics.rules.schema import Rule, RuleError, load_rules
from analytics.stores.base import Range
from analytics.stores.configured import RemoteStore
from analytics.stores.local import LocalStore, event_ns
from serve.settings import Settings
from sonoscope.commands.common import errors, fail, out, print_json, settings
from sonoscope.commands.stores import store_of
from sonoscope.show import show_record
from telemetry.errors import RequestError

LOOK_BACK_NS = 28 * 86_400 * 1_000_000_000
"""How far back like requests are looked for: four weeks, for an older machine or model is no measure."""
_STYLES = {"usual": "dim", "too few": "dim", "slow": "yellow", "fast": "green"}


def record(id: str, *, data_dir: Path | None, as_json: bool) -> None:
    """Prints the record of a request, or of a video by the id that it carries."""
    with errors(as_json):
        configured = settings(data_dir=data_dir)
        store = store_of(configured)
        found = find(id, store)
    usual, known = _compared(store, found, rules_of(configured))
    if as_json:
        stages = [{**asdict(one), "verdict": one.verdict} for one in usual]
        print_json({**found.as_dict(), "baselines": stages, "rules": [match.to_dict() for match in known]})
        return
    show_record(found, out)
    for one in usual:
        out.print(one.sentence, style=_STYLES[one.verdict], soft_wrap=True)
    for match in known:
        _show_match(match)


def rules_of(configured: Settings) -> tuple[Rule, ...]:
    """The shipped rules and those of `rules_file`. Ends the command where that file is bad."""
    try:
        return load_rules(configured.rules_file)
    except (OSError, RuleError) as error:
        fail(f"setting rules_file: {error}", "docs/rules.md says what a rule consists of.")


def _compared(store: LocalStore | RemoteStore, found: Record, rules: tuple[Rule, ...]) -> tuple[list[Baseline], list[Match]]:
    """The stages that ran and the rules that hold, both against the requests of the weeks before."""
    if not found.request:
        return [], []
    started = event_ns(found.events[0])
    with joined(store, Range(started - LOOK_BACK_NS, None)) as view:
        return baselines(view, found.request), matches(found, rules, view)


def _show_match(match: Match) -> None:
    out.print(f"[yellow]{match.rule.id}[/yellow]: {escape(match.rule.cause.en)}", soft_wrap=True)
    out.print(f"  → {escape(match.rule.suggestion.en)}", soft_wrap=True)
    out.print(f"  [dim]{escape(match.evidence.sentence())}[/dim]", soft_wrap=True)


def find(id: str, store: LocalStore | RemoteStore) -> Record:
    """The record of an id or of a video file. Ends the command where there is none."""
    path = Path(id)
    if path.is_file():
        id = _id_in(path) or path.stem
    try:
        found = load(store, id)
    except OSError as error:
        fail(f"the telemetry cannot be read: {error}")
    if found is None:
        where = f"The journal in {store.journal_dir}" if isinstance(store, LocalStore) else "The configured store"
        fail(f"there is no record of {id}", f"{where} was searched; --data-dir names another folder.")
    return found


def _id_in(path: Path) -> str | None:
    """The request id in the metadata of a video, or None where it has none."""
    try:
        from deployments.media.probe import probe
    except ModuleNotFoundError as error:
        fail(f"{error.name} is needed to read a video", "pip install 'sonoscope[serve]', or give the request id.")
    try:
        comment = probe(path).metadata.get("comment", "")
    except RequestError as error:
        fail(f"{path.name} cannot be read as a video: {error.message}")
    return comment.removeprefix("request_id=") or None
