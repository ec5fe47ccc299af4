"""The autoscaler's story as a picture: work that waits, replicas and nodes over time. Plain SVG: a page needs no script for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

WIDTH, LEFT, RIGHT, PANEL, GAP = 860, 60, 20, 110, 46
COLOURS = ("#2563eb", "#d97706")


@dataclass
class Line:
    """A value that holds until the next: (s, value) in the order of time."""

    name: str
    points: list[tuple[float, float]] = field(default_factory=list)

    def at(self, seconds: float, value: float) -> None:
        """From `seconds` on it is `value`."""
        self.points.append((seconds, value))


def figure(panels: Sequence[tuple[str, Sequence[Line]]], until_s: float) -> str:
    """One panel under the other, each with a title and up to two lines, on one axis of time."""
    height = len(panels) * (PANEL + GAP) + 30
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
    ]
    for number, (title, lines) in enumerate(panels):
        out += _panel(title, lines, 30 + number * (PANEL + GAP), until_s)
    return "\n".join([*out, "</svg>", ""])


def _panel(title: str, lines: Sequence[Line], top: int, until_s: float) -> list[str]:
    most = max((value for line in lines for _, value in line.points), default=0.0) or 1.0
    bottom, wide = top + PANEL, WIDTH - LEFT - RIGHT

    def x(seconds: float) -> float:
        return LEFT + wide * min(1.0, max(0.0, seconds / until_s))

    def y(value: float) -> float:
        return bottom - PANEL * value / most

    out = [f'<text x="{LEFT}" y="{top - 8}" font-weight="bold">{escape(title)}</text>']
    out += [f'<text x="{LEFT - 8}" y="{y(value) + 4:.1f}" text-anchor="end">{value:g}</text>' for value in (0, round(most, 1))]
    for tick in range(0, int(until_s) + 1, 20):
        out.append(f'<line x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{top}" y2="{bottom}" stroke="#e5e7eb"/>')
        out.append(f'<text x="{x(tick):.1f}" y="{bottom + 15}" text-anchor="middle" fill="#6b7280">{tick} s</text>')
    for place, (line, colour) in enumerate(zip(lines, COLOURS, strict=False)):
        steps, last = [], 0.0
        for seconds, value in [*line.points, (until_s, line.points[-1][1] if line.points else 0.0)]:
            steps += [f"{x(seconds):.1f},{y(last):.1f}", f"{x(seconds):.1f},{y(value):.1f}"]
            last = value
        dash = ' stroke-dasharray="5 3"' if place else ""
        out.append(f'<polyline points="{" ".join(steps)}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>')
        out.append(
            f'<text x="{WIDTH - RIGHT}" y="{top - 8}" dx="{-110 * place}" text-anchor="end" fill="{colour}">'
            f"{escape(line.name)}</text>"
        )
    return out
