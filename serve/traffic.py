"""A share of the traffic at another setting, drawn at random, so that live requests answer "causes"."""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from telemetry import fields

AS_IT_WAS = "as it was"
"""The arm that nothing was changed in, as the analysis knows it."""
LARGEST_BLOCK = 200
NEVER = ("seed", "duration_s")
"""Parameters that belong to the request and are no setting."""


class TrafficExperiment(BaseModel):
    """`share` of the eligible requests get `parameters` instead of what they would have had."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description="the experiment's name on every record")
    share: float = Field(ge=0.01, le=0.99, description="share of the eligible requests that get the other setting")
    department: str | None = Field(default=None, min_length=1, max_length=128, description="only its requests; empty = all")
    parameters: dict[str, Any] = Field(min_length=1, description="the other setting, by the parameters' names")

    @field_validator("parameters")
    @classmethod
    def _are_parameters(cls, given: dict[str, Any]) -> dict[str, Any]:
        from serve.schema import parse_parameters
        from telemetry.errors import RequestError

        if bad := sorted(set(given) & set(NEVER)):
            raise ValueError(f"{', '.join(bad)} cannot be an experiment's setting: it belongs to the request")
        try:
            parsed = parse_parameters(given)
        except RequestError as error:
            raise ValueError(error.message) from None
        if unknown := sorted(set(given) - parsed.keys()):
            raise ValueError(f"{', '.join(unknown)}: name the parameters as the records do")
        return {name: parsed[name] for name in given}

    @property
    def arm(self) -> str:
        """The changed arm's name, as a replay would call it."""
        return " ".join(f"{name}={_text(value)}" for name, value in self.parameters.items())

    @property
    def block(self) -> tuple[int, int]:
        """How many requests a block has, and how many of them get the other setting: at least one of each kind."""
        size = min(range(2, LARGEST_BLOCK + 1), key=lambda n: (abs(max(1, min(n - 1, round(n * self.share))) / n - self.share), n))
        return size, max(1, min(size - 1, round(size * self.share)))


Draw = Callable[[int, int], list[bool]]


def shuffled(size: int, changed: int) -> list[bool]:
    """A block's places in random order, `changed` of them True."""
    places = [True] * changed + [False] * (size - changed)
    random.SystemRandom().shuffle(places)
    return places


class Assignment:
    """Gives each eligible request its arm, in blocks (permuted blocks: a block is a stretch of time that has both arms in it).

    A request is eligible where it leaves the parameters of the experiment open and is not itself part of an experiment, a replay
    or a test: what somebody asked for is never changed.
    """

    def __init__(self, experiment: TrafficExperiment | None, draw: Draw = shuffled) -> None:
        self._experiment = experiment
        self._draw = draw
        self._places: list[bool] = []
        self._block = ""

    def of(self, values: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
        """What the experiment changes of a request (`values` as used, `given` by the client): labels, in one arm parameters too."""
        experiment = self._experiment
        if experiment is None or not self._eligible(experiment, values, given):
            return {}
        if not self._places:
            self._places = self._draw(*experiment.block)
            self._block = f"{experiment.name}/{secrets.token_hex(6)}"
        changed = self._places.pop()
        labels = {"experiment": experiment.name, "block": self._block, "randomized": True}
        return {**labels, "arm": experiment.arm, **experiment.parameters} if changed else {**labels, "arm": AS_IT_WAS}

    @staticmethod
    def _eligible(experiment: TrafficExperiment, values: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
        if any(values.get(name) for name in ("experiment", "replay_of", "synthetic")):
            return False
        if experiment.department not in (None, values.get("department")):
            return False
        asked = {alias: field.name for field in fields.PARAMETERS for alias in field.aliases}
        return not experiment.parameters.keys() & {
            asked.get(name, name) for name, value in given.items() if value not in (None, "")
        }


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.10g}" if isinstance(value, int | float) else str(value)
