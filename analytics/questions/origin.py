"""When a symptom began in its place, and who uses the setting that is one: the questions after "where"."""

from __future__ import annotations

import numpy as np
from scipy import stats as scipy_stats

from analytics.questions.cause import Origin, Place, place_of
from analytics.questions.coding import code
from analytics.questions.pairs import find_pairs
from analytics.questions.rows import Rows, Truth, column, moments
from analytics.questions.scan import Item, g2_of, scan
from telemetry.values import rfc3339

SURE = float(np.log(1e-3))
"""Of p times the places a beginning was picked from."""
BEFORE = 0.35
"""A place has begun where the rate before is below this share of that after."""
USED = 0.7
"""Share of the requests of a user (since a time) that have the setting, from which it is theirs."""
THEIRS = 0.3
"""And the share of the requests with the setting that are theirs: others may use it now and then."""
USERS = ("department", "owner_hash", "client_hash", "source_prefix", "experiment", "started_at")


def started(rows: Rows, bad: Truth, here: Truth) -> str | None:
    """When a symptom began in a place (UTC), None where it was there from the first request on."""
    if "started_at" not in rows.frame:
        return None
    at = moments(column(rows.frame, "started_at"))
    inside = np.flatnonzero(here & np.isfinite(at))
    order = inside[np.argsort(at[inside], kind="stable")]
    n, total = len(order), int(bad[order].sum())
    if n < 8:
        return None
    k = np.arange(1.0, n)
    before = np.cumsum(bad[order])[:-1].astype(float)
    after = total - before
    g2 = np.where(after * k * BEFORE > before * (n - k), g2_of(before, k - before, after, n - k - after), 0.0)
    best = int(g2.argmax())
    if scipy_stats.chi2.logsf(g2[best], 1) + np.log(n) > SURE:
        return None
    return _moment(float(at[order[best + 1]]))


def origin_of(rows: Rows, item: Item, where: tuple[Place, ...]) -> Origin | None:
    """Who uses a setting, and since when; None where the place is no setting, or where everybody uses it."""
    if not any(part.coded.role == "parameter" or part.coded.field == "advice" for part in item.parts):
        return None
    names = [name for name in USERS if name in rows.frame and name not in {place.field for place in where}]
    coded = [one for one in code(rows)[0] if one.field in names]
    singles = [found for one in coded for found in scan(one, item.mask, rows.weights)[:2]]
    pairs = find_pairs(singles, coded, item.mask, rows.weights)
    for found in sorted((*singles, *pairs), key=lambda one: -one.score):
        share_in, share_out, used = (_mean(found.mask[item.mask]), _mean(found.mask[~item.mask]), _mean(item.mask[found.mask]))
        if found.enriched and used >= USED and share_in >= THEIRS and found.log_p < SURE:
            places = [place_of(part) for part in found.parts]
            since = next((place.low for place in places if place.field == "started_at"), None)
            return Origin(tuple(place for place in places if place.field != "started_at"), since, share_in, share_out)
    return None


def _mean(values: Truth) -> float:
    return float(values.mean()) if len(values) else 0.0


def _moment(at: float) -> str:
    return rfc3339(round(at) * 1_000_000_000).replace(".000000000", "")
