"""Search keys of file names: one function for writing and for asking, so that `bailing` finds `bai-ling.jpg` and `百灵.png`.

A key is what is left of a name when case, width, separators and script do not matter. Keys are plain texts: a catalogue or a
keyword field holds them, and an exact, a prefix or a fuzzy match needs no analyser on any server.
"""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path

MAX_KEYS = 32
"""Keys of one name at most: a name of many characters with two readings each would have thousands."""
_NEAR_FROM = 4
"""Letters from which one wrong letter is forgiven: three letters with one wrong are another word."""
_SYNONYMS = Path(__file__).parent / "synonyms.txt"

Synonyms = Mapping[str, frozenset[str]]


def normalise(name: str) -> str:
    """The name as it looks: NFKC (so full-width letters become plain ones), no format characters (category Cf), case folded."""
    wide = unicodedata.normalize("NFKC", name)
    seen = "".join(character for character in wide if unicodedata.category(character) != "Cf")
    return unicodedata.normalize("NFKC", seen.casefold())


def invisible(name: str) -> list[str]:
    """The characters of a name that nobody sees, as code points (`U+200B`), each once: format characters and controls.

    What joins two emoji is one of them, too: seen or not, a tool that compares names stumbles over it.
    """
    hidden = dict.fromkeys(one for one in name if unicodedata.category(one) in ("Cf", "Cc"))
    return [f"U+{ord(one):04X}" for one in hidden]


def marked(name: str) -> str:
    """The name with every character that nobody sees written out, such as `a‹U+200B›b.png`."""
    return "".join(f"‹U+{ord(one):04X}›" if unicodedata.category(one) in ("Cf", "Cc") else one for one in name)


def differences(name: str) -> list[str]:
    """What makes a name other than it looks, at most MAX_KEYS of it: `U+200B ZERO WIDTH SPACE at 3`, `U+FF41 … at 0, stands for a`.

    Positions are those of characters, from 0. The first kind is removed by normalising, the second replaced (NFKC).
    """
    found: list[str] = []
    for place, one in enumerate(name):
        about = f"U+{ord(one):04X} {unicodedata.name(one, '(no name)')} at {place}"
        if unicodedata.category(one) in ("Cf", "Cc", "Cs"):
            found.append(about)
        elif (plain := unicodedata.normalize("NFKC", one)) != one:
            found.append(f"{about}, stands for {plain}")
    return found[:MAX_KEYS]


def search_keys(name: str, synonyms: Synonyms | None = None) -> list[str]:
    """The keys of a file name (with or without a folder and an ending), sorted; empty where it holds no letter and no digit.

    The letters only; for Chinese characters also every reading in pinyin; and the synonyms of each of these.
    """
    table = default_synonyms() if synonyms is None else synonyms
    letters = _letters(_stem(normalise(name)))
    if not letters:
        return []
    keys = {letters, *_readings(letters)}
    keys |= {other for key in keys for other in table.get(key, ())}
    return [letters, *sorted(keys - {letters})[: MAX_KEYS - 1]]


def matches(query: str, keys: Iterable[str], synonyms: Synonyms | None = None) -> bool:
    """Whether a query finds a name with these keys: equal, contained, or one letter off (missing, added, changed or swapped)."""
    wanted = search_keys(query, synonyms)
    return any(want in key or _near(want, key) for key in keys for want in wanted)


def read_synonyms(path: Path) -> Synonyms:
    """A file of synonyms: the words of one line, separated by blanks, mean the same; `#` begins a comment. Raises OSError."""
    table: dict[str, set[str]] = {}
    for line in path.read_text("utf-8").splitlines():
        words = {_letters(normalise(word)) for word in line.partition("#")[0].split()} - {""}
        for word in words:
            table.setdefault(word, set()).update(words - {word})
    return {word: frozenset(others) for word, others in table.items()}


@lru_cache(maxsize=1)
def default_synonyms() -> Synonyms:
    """Those that come with the package."""
    return read_synonyms(_SYNONYMS)


def _stem(name: str) -> str:
    base = name.replace("\\", "/").rstrip("/").rpartition("/")[2]
    stem, _, ending = base.rpartition(".")
    # `v1.2` and `…` have no ending; one has letters and is short.
    return stem if stem and 1 <= len(ending) <= 5 and ending.isalnum() and not ending.isdigit() else base


def _letters(name: str) -> str:
    return "".join(character for character in name if character.isalnum())


def _readings(letters: str) -> list[str]:
    """The name in pinyin, every combination of readings up to MAX_KEYS; none where it has no Chinese character."""
    if not any("\u4e00" <= character <= "\u9fff" or "\u3400" <= character <= "\u4dbf" for character in letters):
        return []
    from pypinyin import Style, lazy_pinyin, pinyin

    likely = "".join(lazy_pinyin(letters))  # by the words around: 银行 is yinhang
    every = [sorted(set(pinyin(character, style=Style.NORMAL, heteronym=True)[0])) for character in letters]
    return [likely, *("".join(one) for one in itertools.islice(itertools.product(*every), MAX_KEYS))]


def _near(left: str, right: str) -> bool:
    """One letter missing, added or changed, or two neighbours swapped."""
    if min(len(left), len(right)) < _NEAR_FROM or abs(len(left) - len(right)) > 1:
        return False
    start = next((k for k, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))
    rest_left, rest_right = left[start:], right[start:]
    swapped = rest_left[:2] == rest_right[1::-1] and rest_left[2:] == rest_right[2:]
    return swapped or rest_left[1:] == rest_right[1:] or rest_left[1:] == rest_right or rest_left == rest_right[1:]
