"""A share of live traffic with another setting, drawn at random: what the analysis then finds, it may call a cause.

Only what a request leaves open is drawn; who names a parameter gets what was named. The draw is made in blocks of a few requests
that come one after the other (permuted blocks: at 0.2 one of five, its place drawn), so that a drifting load or a new version
strikes both arms alike, and the experiment's rows can be compared block by block.
"""

from __future__ import annotations

import random
from collections.abc import Collection
from fractions import Fraction
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from serve.schema import parse_parameters
from telemetry import fields
from telemetry.errors import RequestError
from telemetry.ids import uuid7

AS_IT_WAS = "as it was"
"""The arm without the change, named as in a replay (`analytics.questions.experiment`)."""
LARGEST_BLOCK = 20


class TrafficExperiment(BaseModel):
    """`settings` for `share` of the requests that leave them open; the requests of both arms bear the name as `experiment`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z0-9._-]{1,64}$", description="the experiment's name on the records")
    share: float = Field(ge=0.05, le=0.95, description="share of the requests with the changed settings")
    settings: dict[str, int | float | bool | str] = Field(min_length=1, description="parameters and their values in this arm")

    @field_validator("settings")
    @classmethod
    def _are_parameters(cls, given: dict[str, Any]) -> dict[str, Any]:
        try:
            parsed = parse_parameters(given)
        except RequestError as error:
            raise ValueError(f"{error.field}: {error.message} {error.hint or ''}".strip()) from error
        names = fields.canonical(given)
        if "seed" in names or "duration_s" in names:
            raise ValueError("seed and duration_s belong to a request and cannot be drawn for it")
        return {name: parsed[name] for name in names}

    @property
    def arm(self) -> str:
        """The changed arm in words, as a replay names it: `inference_steps=25`."""
        return " ".join(
            f"{name}={str(value).lower() if isinstance(value, bool) else value}" for name, value in self.settings.items()
        )


class Traffic:
    """Draws the arm of each request. One for each process that takes requests in: its blocks are its own."""

    def __init__(self, experiment: TrafficExperiment, rng: random.Random | None = None):
        self._experiment = experiment
        self._rng = rng or random.SystemRandom()
        self._block = ""
        self._arms: list[bool] = []

    def draw(self, asked: Collection[str], labels: Collection[str]) -> dict[str, Any]:
        """What the draw adds to a request that `asked` for these parameters and gave these `labels`: settings and labels.

        Empty where the request names one of the settings itself or belongs to an experiment already.
        """
        named = fields.canonical(asked)
        if "experiment" in labels or any(name in named for name in self._experiment.settings):
            return {}
        if not self._arms:
            share = Fraction(self._experiment.share).limit_denominator(LARGEST_BLOCK)
            self._block, self._arms = uuid7(), [k < share.numerator for k in range(share.denominator)]
            self._rng.shuffle(self._arms)
        changed = self._arms.pop()
        told = {"experiment": self._experiment.name, "block": self._block, "randomized": True}
        return told | ({"arm": self._experiment.arm, **self._experiment.settings} if changed else {"arm": AS_IT_WAS})
