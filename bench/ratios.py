"""The ratios that a benchmark has found, kept for the table of all benchmarks (bench/table.py)."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

KEPT = "SONOSCOPE_BENCH_RATIOS"
"""Environment variable: the file to which ratios are appended; unset = they are only printed."""


@dataclass(frozen=True)
class Ratio:
    """One figure: `what` was measured, `against` what.

    `aim`: which side of `bound` is good, "at most" or "at least"; "" = there is no aim.
    """

    what: str
    value: float
    against: str
    aim: str = ""
    bound: float = 0.0

    @property
    def met(self) -> bool | None:
        """Whether the aim was met; None where there is none."""
        if not self.aim:
            return None
        return self.value <= self.bound if self.aim == "at most" else self.value >= self.bound


def keep(what: str, value: float, against: str, *, at_most: float | None = None, at_least: float | None = None) -> None:
    """Appends a ratio to the file that the environment names, with its aim; does nothing without one. Raises OSError."""
    if not (path := os.environ.get(KEPT)):
        return
    aim, bound = ("at most", at_most) if at_most is not None else ("at least", at_least) if at_least is not None else ("", 0.0)
    one = Ratio(what, float(value), against, aim, float(bound or 0.0))
    with Path(path).open("ab") as file:
        file.write(orjson.dumps(asdict(one), option=orjson.OPT_APPEND_NEWLINE))


def read(path: Path) -> list[Ratio]:
    """The ratios in a file of `keep`, in their order; none where there is no file."""
    return [Ratio(**orjson.loads(line)) for line in path.read_bytes().splitlines()] if path.exists() else []
