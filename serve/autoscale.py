"""Ray Serve's autoscaling policy of inference: reads the table of jobs, asks `serve.scaling.decide`, and writes down what it said.

It runs in Serve's controller, which pickles this module by value. What blocks (the database) is in a thread of its own, for the
controller decides for every deployment, ten times a second.
"""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path
from typing import Any

from ray.serve.config import AutoscalingContext
from sqlalchemy.exc import SQLAlchemyError

from serve.backlog import Arrivals, Prices, past, seen
from serve.scaling import Backlog, Memory, Replicas, Scaling, decide
from serve.settings import Settings
from serve.tables import engine
from telemetry.decisions import DecisionLog

LOOK_S = 1.0
"""Seconds between two looks at the table."""
PRICES_S = 15.0
"""Seconds for which prices hold: 200 rows take 4 ms."""
STALE_S = 10.0
"""A backlog that is older is not one: nothing is scaled by it."""
SAY_S = 10.0
"""While there is work, a line is written at least so often, so that the drawing has points."""
_log = logging.getLogger("ray.serve")


class Watch:
    """The backlog as a thread last saw it."""

    def __init__(self, url: str) -> None:
        self._engine = engine(url, durable=False)
        self._seen: tuple[float, Backlog] | None = None
        threading.Thread(target=self._look, name="backlog", daemon=True).start()

    def now(self) -> Backlog | None:
        """None where the table has not answered for STALE_S."""
        last = self._seen
        return None if last is None or time.monotonic() - last[0] > STALE_S else last[1]

    def _look(self) -> None:
        prices, priced_at, arrivals = Prices(), float("-inf"), Arrivals()
        while True:
            try:
                if prices == Prices() or time.monotonic() - priced_at > PRICES_S:  # nothing is known: look again at once
                    prices, priced_at = Prices.of(past(self._engine)), time.monotonic()
                self._seen = time.monotonic(), seen(self._engine, prices, arrivals)
            except SQLAlchemyError as error:
                _log.warning("the table of jobs does not answer the autoscaler: %s", error)
            time.sleep(LOOK_S)


class CostPolicy:
    """What Serve calls: `policy(context) -> (replicas, state)`. One for each deployment that it scales."""

    def __init__(self, data_dir: str, rules: dict[str, Any]) -> None:
        self._rules = Scaling(**rules)
        # The database's address holds a password, and these arguments are shown by Ray's dashboard: it comes from the environment.
        self._watch = Watch(Settings(data_dir=Path(data_dir)).jobs_url)
        self._decisions = DecisionLog(Path(data_dir))
        self._memory = Memory()
        self._said: tuple[Any, ...] = ()
        self._said_at = 0.0

    def __call__(self, ctx: AutoscalingContext) -> tuple[int, dict[str, Any]]:
        """Serve applies the bounds once more."""
        bounds = ctx.capacity_adjusted_min_replicas, ctx.capacity_adjusted_max_replicas
        replicas = Replicas(ctx.current_num_replicas, ctx.target_num_replicas, *bounds)
        found = self._watch.now()
        decision = decide(self._rules, time.monotonic(), found, replicas, self._memory)
        self._memory = decision.memory
        said = (replicas.running, decision.target, decision.wanted, decision.reason)
        busy = found is not None and found.jobs > 0
        if said != self._said or (busy and time.monotonic() - self._said_at > SAY_S):
            self._say(ctx, replicas, found, decision.target, decision.wanted, decision.reason)
            self._said, self._said_at = said, time.monotonic()
        return decision.target, {}

    def _say(
        self, ctx: AutoscalingContext, replicas: Replicas, found: Backlog | None, target: int, wanted: int, reason: str
    ) -> None:
        try:
            self._decisions.write(
                at_ns=time.time_ns(),
                stage=ctx.deployment_name,
                jobs=None if found is None else found.jobs,
                work_s=None if found is None else round(found.seconds, 3),
                came_s=None if found is None else round(found.came_s, 3),
                wanted=wanted,
                running=replicas.running,
                before=replicas.target,
                target=target,
                reason=reason,
            )
        except OSError as error:  # a full disk must not stop the scaling
            _log.warning("the decision could not be written down: %s", error)
