"""Videos beside each other that show the same moment and play in step."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template

BIGGEST = 4_000_000
"""Bytes of a video that is put into the page; a 10 s clip at 512 px has 0.5 MB."""


@dataclass(frozen=True)
class Clip:
    """A video and the lines under it."""

    video: bytes
    title: str
    lines: tuple[str, ...]


_PAGE = Template((Path(__file__).parent / "sheet.html").read_text(encoding="utf-8"))


def contact_sheet(clips: Sequence[Clip], *, columns: int, play: str, moment: str, dark: bool = False) -> str:
    """A page with the clips in a grid, one slider for the moment that all of them show, and one button that plays them in step.

    Only the first is heard. Raises ValueError for a clip of more than BIGGEST bytes.
    """
    figures: list[str] = []
    for clip in clips:
        if len(clip.video) > BIGGEST:
            raise ValueError(f"{clip.title} has {len(clip.video)} bytes; at most {BIGGEST} fit into a page")
        lines = "".join(f"{html.escape(line)}<br>" for line in clip.lines)
        source = base64.b64encode(clip.video).decode()
        figures.append(
            f'<figure><video preload="auto" playsinline src="data:video/mp4;base64,{source}"></video>'
            f"<figcaption><b>{html.escape(clip.title)}</b>{lines}</figcaption></figure>"
        )
    colour = "#fafafa" if dark else "#31333f"
    return _PAGE.substitute(
        figures="".join(figures), columns=columns, play=html.escape(play), moment=html.escape(moment), colour=colour
    )
