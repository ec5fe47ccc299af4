"""The journal keeps every line whole, whatever happens around it."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telemetry.journal import Journal, ReadStats, read_lines, read_losses, seal_orphans

_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    made = Journal(tmp_path)
    yield made
    made.close()


def _live(directory: Path) -> list[Path]:
    return list(directory.glob("*.jsonl"))


def _sealed(directory: Path) -> list[Path]:
    return list((directory / "sealed").glob("*.jsonl"))


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(_json, max_size=8), max_bytes=st.integers(1, 400))
def test_what_was_written_is_read_back_whole_and_in_no_other_kind(rows: list[object], max_bytes: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder), max_bytes=max_bytes)
        try:
            lines = [orjson.dumps(row) for row in rows]
            assert all(journal.write("events", line) for line in lines)
            assert sorted(read_lines(Path(folder), "events")) == sorted(lines)
            assert list(read_lines(Path(folder), "spans")) == []
        finally:
            journal.close()
        assert sorted(read_lines(Path(folder), "events")) == sorted(lines)


@settings(max_examples=60, deadline=None)
@given(lines=st.lists(st.binary(max_size=30).map(lambda line: line.replace(b"\n", b"")), max_size=20), needle=st.binary(max_size=2))
def test_a_filter_by_bytes_finds_exactly_the_lines_that_hold_them(lines: list[bytes], needle: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder))
        for line in lines:
            journal.write("spans", line)
        journal.close()
        if b"\n" not in needle:
            assert list(read_lines(Path(folder), "spans", needle)) == [line for line in lines if needle in line]


def test_a_line_with_line_ends_stays_one_line(journal: Journal, tmp_path: Path) -> None:
    journal.write("events", orjson.dumps({"a": [1, 2]}, option=orjson.OPT_INDENT_2))
    (line,) = read_lines(tmp_path, "events")
    assert orjson.loads(line) == {"a": [1, 2]}


def test_a_full_segment_is_sealed_and_the_next_one_has_another_name(tmp_path: Path) -> None:
    journal = Journal(tmp_path, max_bytes=100)
    for _ in range(5):
        journal.write("spans", b"x" * 60)
    assert len(_sealed(tmp_path)) == 2
    assert len(_live(tmp_path)) == 1
    journal.close()
    assert not _live(tmp_path)
    assert len(list(read_lines(tmp_path, "spans"))) == 5


def test_a_segment_that_nobody_writes_to_is_sealed(tmp_path: Path) -> None:
    journal = Journal(tmp_path, idle_s=0.1)
    journal.write("events", b"{}")
    assert _live(tmp_path)
    deadline = time.monotonic() + 5
    while not _sealed(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert _sealed(tmp_path)
    assert not _live(tmp_path)
    journal.close()


def test_a_write_after_the_end_is_not_lost(journal: Journal, tmp_path: Path) -> None:
    journal.write("events", b"1")
    journal.close()
    journal.write("events", b"2")
    assert sorted(read_lines(tmp_path, "events")) == [b"1", b"2"]


def test_no_segment_name_comes_back_after_its_file_was_deleted(tmp_path: Path) -> None:
    seen: set[str] = set()
    for _ in range(3):
        journal = Journal(tmp_path)
        journal.write("spans", b"x")
        journal.close()
        (path,) = _sealed(tmp_path)
        assert path.name not in seen
        seen.add(path.name)
        path.unlink()


def test_threads_lose_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path, max_bytes=3000)
    lines = [[b"%d-%d" % (thread, n) for n in range(500)] for thread in range(8)]
    threads = [threading.Thread(target=lambda own=own: [journal.write("spans", line) for line in own]) for own in lines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    journal.close()
    assert sorted(read_lines(tmp_path, "spans")) == sorted(itertools.chain(*lines))


def test_a_reader_sees_every_line_once_while_segments_are_sealed_under_it(tmp_path: Path) -> None:
    journal = Journal(tmp_path, max_bytes=120)
    written = 0

    def write() -> None:
        nonlocal written
        for n in range(1500):
            journal.write("events", b'{"n": %d}' % n)
            written = n + 1

    writer = threading.Thread(target=write)
    writer.start()
    passes = 0
    while writer.is_alive():
        before = written
        seen = [orjson.loads(line)["n"] for line in read_lines(tmp_path, "events")]
        assert len(seen) == len(set(seen)), "a line came twice"
        assert set(range(before)) <= set(seen), "a line was missed"
        passes += 1
    writer.join()
    journal.close()
    assert passes > 1
    assert sorted(orjson.loads(line)["n"] for line in read_lines(tmp_path, "events")) == list(range(1500))


_ENDLESS = """
import itertools, os, sys
from pathlib import Path
from telemetry.journal import Journal
journal = Journal(Path(sys.argv[1]), max_bytes=20_000)
for n in itertools.count():
    journal.write("spans", b'{"n": %d, "pad": "%s"}' % (n, b"x" * 300))
    os.write(1, b"%d\\n" % n)
"""


def test_a_killed_writer_leaves_every_line_that_it_had_acknowledged(tmp_path: Path) -> None:
    writer = subprocess.Popen([sys.executable, "-c", _ENDLESS, str(tmp_path)], stdout=subprocess.PIPE)
    assert writer.stdout is not None
    said = [writer.stdout.readline() for _ in range(500)]
    assert seal_orphans(tmp_path) == 0, "the writer lives and holds its lock"
    writer.send_signal(signal.SIGKILL)
    acknowledged = int([*said, *writer.stdout.readlines()][-1])
    writer.stdout.close()
    writer.wait()

    before = sorted(orjson.loads(line)["n"] for line in read_lines(tmp_path, "spans"))
    assert before[: acknowledged + 1] == list(range(acknowledged + 1))
    assert len(_live(tmp_path)) <= 1
    assert seal_orphans(tmp_path) <= 1, "none where it was killed before the first line of a segment"
    assert not _live(tmp_path)
    assert sorted(orjson.loads(line)["n"] for line in read_lines(tmp_path, "spans")) == before
    assert not list((tmp_path / "losses").iterdir()), "it had lost nothing"


def test_a_torn_last_line_is_skipped_counted_and_left_as_it_is(tmp_path: Path) -> None:
    torn = tmp_path / "host-boot-1-0.spans.jsonl"
    torn.write_bytes(b'{"n":1}\n{"n":2}\n{"n":3')
    assert seal_orphans(tmp_path) == 1
    stats = ReadStats()
    assert list(read_lines(tmp_path, "spans", stats=stats)) == [b'{"n":1}', b'{"n":2}']
    assert stats == ReadStats(segments=1, lines=2, torn=1)
    assert list(read_lines(tmp_path, "spans", b'"n":3')) == []
    assert (tmp_path / "sealed" / torn.name).read_bytes().endswith(b'{"n":3')


_FORKED = """
import os, sys
from pathlib import Path
from telemetry.journal import Journal
journal = Journal(Path(sys.argv[1]))
journal.write("events", b"parent")
child = os.fork()
if child == 0:
    journal.write("events", b"child")
    os._exit(0)
os.waitpid(child, 0)
journal.write("events", b"parent again")
print(len(list(Path(sys.argv[1]).glob("*.jsonl"))))
"""


def test_a_forked_child_writes_a_segment_of_its_own(tmp_path: Path) -> None:
    run = subprocess.run([sys.executable, "-c", _FORKED, str(tmp_path)], check=True, capture_output=True, text=True)
    assert run.stdout == "2\n"
    assert len(_live(tmp_path)) == 1, "the parent sealed at its end; the child's awaits seal_orphans"
    assert seal_orphans(tmp_path) == 1
    assert sorted(path.read_bytes() for path in _sealed(tmp_path)) == [b"child\n", b"parent\nparent again\n"]


# A limit on the size of a file is a full disk that a test can have without being root: the kernel writes what fits, then refuses.
_FULL = """
import resource, signal, sys
from pathlib import Path
from telemetry.journal import Journal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
journal = Journal(Path(sys.argv[1]))
journal.write("spans", b"1" * 1500)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
results = [journal.write("spans", b"2" * 1500), journal.write("spans", b"3" * 1500), journal.write("spans", b"4" * 9000)]
results += [journal.write("events", b"5" * 9000) for _ in range(3)]
print(results)
"""


def test_a_full_disk_costs_the_line_and_is_counted_and_the_next_line_is_whole(tmp_path: Path) -> None:
    run = subprocess.run([sys.executable, "-c", _FULL, str(tmp_path)], check=True, capture_output=True, text=True)
    assert run.stdout.strip() == str([False, True, False, False, False, False])
    stats = ReadStats()
    assert sorted(read_lines(tmp_path, "spans", stats=stats)) == [b"1" * 1500, b"3" * 1500]
    assert stats.torn == 0
    assert not _live(tmp_path), "an empty segment does not stay behind"
    losses = read_losses(tmp_path)
    assert (losses["spans_lost"], losses["events_lost"], losses["telemetry_errors"]) == (2, 3, 0)
    assert "bytes could be written" in losses["last_error"]
    (file,) = (tmp_path / "losses").iterdir()
    assert file.stat().st_size == 256


def test_a_folder_that_cannot_be_made_costs_lines_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    journal = Journal(tmp_path / "file" / "journal")
    assert journal.write("spans", b"x") is False
    journal.close()


def test_a_process_without_losses_leaves_no_file(journal: Journal, tmp_path: Path) -> None:
    assert len(list((tmp_path / "losses").iterdir())) == 1
    journal.close()
    assert not list((tmp_path / "losses").iterdir())
    assert read_losses(tmp_path) == {"spans_lost": 0, "events_lost": 0, "telemetry_errors": 0, "last_error": ""}


def test_losses_of_all_processes_add_up_and_a_long_error_fits(journal: Journal, tmp_path: Path) -> None:
    other = Journal(tmp_path)
    journal.losses.count("spans_lost", "first")
    for path in (tmp_path / "losses").iterdir():
        os.utime(path, (1, 1))
    other.losses.count("spans_lost", 'an "error" \n' * 100)
    other.close()
    losses = read_losses(tmp_path)
    assert losses["spans_lost"] == 2
    assert losses["last_error"].startswith('an "error"')
    assert {path.stat().st_size for path in (tmp_path / "losses").iterdir()} == {256}
