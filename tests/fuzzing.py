"""What the fuzz tests of the readers share: how many cases, bytes that were right once, and a look at what is left behind.

A short form by default, the same cases each time; SONOSCOPE_FUZZ_CASES=10000 is the long one, with other cases each time.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

ASKED = os.environ.get("SONOSCOPE_FUZZ_CASES")
DEADLINE_MS = 5_000
"""A case that takes so long counts as a hang."""
MEMORY_MB = 150
"""Growth that hypothesis' own memory of its cases and the first use of libraries explain; a leak of a case's size does not fit."""
MB = 2**20

PIECES = (
    b"", b"\0", b"\xff\xfe", b"\xed\xa0\x80", b"\\ud800", b"\\u0000", b"NaN", b"-Infinity", b"1e999", b"9" * 5000, b"-1", b"null",
    b"[]", b"{}", b'""', b"[" * 3000, b'{"a":' * 3000, b"\r\n\r\n", b"\r\n", b"\n", b'"', b"'", b":", b",", b"&a ", b"*a",
    b"!!int x", b"? ", b"--", b"%", b"\xe2\x80\x8b", b"true", b"2001-99-99", b"A" * 70_000,
)  # fmt: skip
"""What readers stumble over: ends, halves of characters, numbers that are none or too large, depth, quotes, lengths."""


def cases(short: int = 150) -> settings:
    """How often a property is tried: `short` times, always the same; or as often as SONOSCOPE_FUZZ_CASES says."""
    return settings(
        max_examples=int(ASKED or short), derandomize=ASKED is None, deadline=DEADLINE_MS, database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
    )  # fmt: skip


@st.composite
def spoiled(draw: Any, seeds: Sequence[bytes], pieces: Sequence[bytes] = PIECES) -> bytes:
    """One of the `seeds`, with up to four things done to it: cut, left out, doubled, overwritten, put in."""
    data = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(data)))
        stop = min(len(data), start + draw(st.integers(0, 40)))
        match draw(st.sampled_from(["cut", "drop", "double", "bytes", "put", "swap"])):
            case "cut":
                data = data[:start]
            case "drop":
                data = data[:start] + data[stop:]
            case "double":
                data = data[:stop] + data[start:]
            case "bytes":
                data = data[:start] + draw(st.binary(max_size=8)) + data[stop:]
            case "put":
                data = data[:start] + draw(st.sampled_from(pieces)) + data[start:]
            case _:
                data = data[:start] + draw(st.sampled_from(pieces)) + data[stop:]
    return data


def sent_bytes(seeds: Sequence[bytes], pieces: Sequence[bytes] = PIECES) -> st.SearchStrategy[bytes]:
    """Mostly what was right once, now and then anything."""
    return st.one_of(spoiled(seeds, pieces), spoiled(seeds, pieces), st.binary(max_size=200))


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=20)
    | st.sampled_from([10**400, "\0"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
"""Any value that JSON knows, and NaN, which Python's reader knows as well."""


@contextmanager
def nothing_left_behind(folder: Path, monkeypatch: Any) -> Iterator[None]:
    """Fails where open files, temporary files or memory have grown at the end. `folder`: an empty one, for temporary files."""
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    own = psutil.Process()
    gc.collect()
    files, memory = own.num_fds(), own.memory_info().rss
    yield
    gc.collect()
    grown = (own.memory_info().rss - memory) / MB
    assert own.num_fds() <= files + 2, [one.path for one in own.open_files()]
    assert list(folder.iterdir()) == []
    assert grown < MEMORY_MB, f"{grown:.0f} MB more"
