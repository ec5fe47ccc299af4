"""The plan of a replay: past requests at other settings and as they were, in blocks of one pair each."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from analytics.questions.experiment import AS_IT_WAS
from serve.schema import parse_parameters
from sonoscope.experiments.plan import Plan, PlanError, Run, in_random_order, run_ids
from telemetry import fields
from telemetry.errors import RequestError

SEEDS = 2**31
NEEDED = ("request_id", "portrait_hash", "audio_hash", "inference_steps")


def changes(given: Sequence[str]) -> dict[str, Any]:
    """The settings of `--set name=value`. Raises PlanError that names the parameter and its range."""
    if not given:
        raise PlanError("--set is missing: name at least one setting to change, such as --set inference_steps=25")
    asked: dict[str, str] = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals or not value:
            raise PlanError(f"--set {one!r} is not name=value")
        if name in asked:
            raise PlanError(f"--set names {name} twice")
        asked[name] = value
    try:
        parsed = parse_parameters(asked)
    except RequestError as error:
        raise PlanError(f"--set {error.field}: {error.message}") from error
    aliases = {alias: field.name for field in fields.PARAMETERS for alias in field.aliases}
    return {aliases.get(name, name): parsed[aliases.get(name, name)] for name in asked}


def settings_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """A request's parameters as they were asked, the seed with them."""
    found = {name: row[name] for name in fields.names("parameter") if row.get(name) is not None}
    if row.get("requested_duration_s") is not None:
        found["duration_s"] = row["requested_duration_s"]
    return found


def arm_of(change: Mapping[str, Any]) -> str:
    """The name of the changed arm: its settings in words."""
    return " ".join(f"{name}={_text(value)}" for name, value in change.items())


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.10g}" if isinstance(value, int | float) else str(value)


def plan_of(
    experiment: str,
    asked: dict[str, Any],
    rows: Sequence[Mapping[str, Any]],
    change: Mapping[str, Any],
    *,
    repeats: int,
    limit: int,
    has: Callable[[str], bool],
    rng: random.Random | None = None,
) -> Plan:
    """A plan over at most `limit` of the rows, drawn at random, `repeats` blocks each. `has`: whether an asset is still there.

    The first block of a request has its own seed; further ones have a new seed each, the same in both arms. Raises PlanError where
    nothing is left to replay.
    """
    rng = rng or random.SystemRandom()
    left_out: Counter[str] = Counter()
    usable = [row for row in rows if _usable(row, change, left_out)]
    chosen: list[Mapping[str, Any]] = []
    for row in rng.sample(usable, len(usable)):
        if len(chosen) == limit:
            left_out[f"not drawn (--limit {limit})"] = len(usable) - limit - left_out["an input is no longer stored"]
            break
        if has(row["portrait_hash"]) and has(row["audio_hash"]):
            chosen.append(row)
        else:
            left_out["an input is no longer stored"] += 1
    if not chosen:
        reasons = "; ".join(f"{count} {reason}" for reason, count in left_out.items())
        raise PlanError(f"nothing can be replayed: {reasons or 'no request passes the filter'}")
    ids = iter(run_ids(experiment))
    blocks = [block for row in chosen for block in _blocks(row, change, repeats, experiment, ids, rng)]
    return Plan(experiment, "replay", asked, in_random_order(blocks, rng), dict(left_out))


def _usable(row: Mapping[str, Any], change: Mapping[str, Any], left_out: Counter[str]) -> bool:
    reason = None
    if row.get("operation") not in (None, "generate"):
        reason = "no generation"
    elif row.get("replay_of") is not None:
        reason = "themselves replays"
    elif any(row.get(name) is None for name in NEEDED):
        reason = "refused before their inputs and settings were known"
    elif all(row.get(name) == value for name, value in change.items()):
        reason = "with these settings already"
    if reason is not None:
        left_out[reason] += 1
    return reason is None


def _blocks(
    row: Mapping[str, Any], change: Mapping[str, Any], repeats: int, experiment: str, ids: Iterator[str], rng: random.Random
) -> Iterator[list[Run]]:
    before = settings_of(row)
    labels = {"experiment": experiment, "randomized": True, "replay_of": row["request_id"]}
    labels |= {name: row[name] for name in ("source_prefix",) if row.get(name)}
    for repeat in range(repeats):
        own = before if repeat == 0 else before | {"seed": rng.randrange(SEEDS)}
        block = f"{row['request_id']}/{repeat + 1}"
        inputs = (row["portrait_hash"], row["audio_hash"])
        yield [
            Run(next(ids), block, arm, *inputs, own | changed, labels, row.get("department"))
            for arm, changed in ((AS_IT_WAS, {}), (arm_of(change), dict(change)))
        ]
