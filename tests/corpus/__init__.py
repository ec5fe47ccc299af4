"""Media that bite: inputs that somebody might send by mistake or on purpose, and what must come of each.

`make_corpus(seed)` makes them all, the same for the same seed and the same ffmpeg; nothing of it is stored. Portraits and speech
come from the project's own media, the rest is drawn, computed or damaged here.
"""

from __future__ import annotations

from tests.corpus.cases import Case
from tests.corpus.pictures import picture_cases
from tests.corpus.requests import request_cases
from tests.corpus.sounds import sound_cases
from tests.corpus.traps import trap_cases

__all__ = ["Case", "make_corpus"]


def make_corpus(seed: int, trap_url: str = "http://127.0.0.1:9/trap") -> list[Case]:
    """Every case, names unique. `trap_url` stands in playlists and references: whoever listens there learns who follows them."""
    return [*picture_cases(seed), *sound_cases(seed), *trap_cases(trap_url), *request_cases()]
