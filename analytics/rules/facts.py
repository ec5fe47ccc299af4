"""What rules may ask beside the columns of a row: two of its values set against each other, which a filter alone cannot do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from analytics.columns import Column, vocabulary
from analytics.filters.sql import quoted


@dataclass(frozen=True)
class Fact:
    """`left` less `right`, or `left` over `right`; missing where either is. `scale` brings `left` to the unit of `right`."""

    name: str
    left: str
    kind: Literal["less", "over"]
    right: str
    meaning: str
    scale: float = 1.0

    @property
    def sql(self) -> str:
        """The value over the columns of a request row, NULL where it has none."""
        left, right = f"{quoted(self.left)} * {self.scale}", quoted(self.right)
        return f"({left} - {right})" if self.kind == "less" else f"({left} / nullif({right}, 0))"


FACTS = (
    Fact("fps_gap", "video_fps", "less", "fps", "frames a second in the file less those that were asked for"),
    Fact("queue_share", "queue_wait_ms", "over", "latency_s", "share of the latency that was spent in the queue", 0.001),
)


def rule_columns(own: Iterable[str] = ()) -> dict[str, Column]:
    """Every name that a rule may use. `own`: names that the rows hold beside the table, of unknown type."""
    facts = [Column(fact.name, fact.name, "float", "", "derived", fact.meaning) for fact in FACTS]
    return vocabulary([*facts, *own])


def event_columns(own: Iterable[str] = ()) -> dict[str, Column]:
    """Every name that a rule over events may use."""
    of_events = [Column(name, name, "str", "", "derived") for name in ("event_type", "event_id")]
    of_events.append(Column("logged_at", "logged_at", "time", "", "derived"))
    return vocabulary([*of_events, *own])


def with_facts(view: str = "requests") -> str:
    """The rows of a view with every fact as a column: a subquery."""
    return f"(SELECT *, {', '.join(f'{fact.sql} AS {fact.name}' for fact in FACTS)} FROM {view})"
