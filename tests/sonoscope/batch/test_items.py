"""What a batch is made of: manifests that are meant, lessons that are whole."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from sonoscope.batch.items import BadManifest, Item, read_lessons, read_manifest
from sonoscope.batch.ledger import NAME, Entry, Ledger
from sonoscope.batch.run import arriving, write_failed
from sonoscope.batch.work import Tally


def manifest(folder: Path, text: str, name: str = "term.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_csv_and_a_jsonl_say_the_same(tmp_path: Path) -> None:
    rows = [
        {"portrait": "a.png", "audio": "1.wav", "inference_steps": "30"},
        {"portrait": "a.png", "audio": "2.wav", "name": "second"},
    ]
    lines = "\n".join(json.dumps(row) for row in rows)
    table = "portrait,audio,inference_steps,name\na.png,1.wav,30,\na.png,2.wav,,second\n"
    for path in (
        manifest(tmp_path, table),
        manifest(tmp_path, lines, "term.jsonl"),
        manifest(tmp_path, "\ufeff" + table, "bom.csv"),
    ):
        items = read_manifest(path)
        assert [(item.name, dict(item.parameters)) for item in items] == [("00001-1", {"inference_steps": "30"}), ("second", {})]
        assert items[0].portrait == tmp_path / "a.png"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("portrait,audio\na.png,\n", "line 2: audio is missing"),
        ("portrait,audio,inference_step\na.png,b.wav,3\n", "line 2: inference_step is neither"),
        ("portrait,audio,name\na.png,b.wav,../x\n", "must be a plain file name"),
        ("portrait,audio,name\na.png,b.wav,x\na.png,c.wav,x\n", "'x' stands there twice"),
        ("portrait,audio\na.png,b.wav,c\n", "line 2: it has not as many cells"),
    ],
)
def test_a_line_that_cannot_be_meant_is_named_before_anything_is_handed_in(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(BadManifest, match=words.replace(".", r"\.")):
        read_manifest(manifest(tmp_path, text))
    with pytest.raises(BadManifest, match="line 1: it is no JSON object"):
        read_manifest(manifest(tmp_path, "[1]", "term.jsonl"))


def test_a_lesson_is_a_recording_with_its_picture_or_the_shared_one(tmp_path: Path) -> None:
    for name in ("1.wav", "1.png", "2.mp3", "3.WAV", "notes.txt", ".4.wav.part"):
        (tmp_path / name).write_bytes(b"x")
    assert [lesson.name for lesson in read_lessons(tmp_path)] == ["1"]
    (tmp_path / "portrait.jpg").write_bytes(b"x")
    assert [(one.name, one.portrait.name) for one in read_lessons(tmp_path)] == [
        ("1", "1.png"), ("2", "portrait.jpg"), ("3", "portrait.jpg"),
    ]  # fmt: skip


def test_a_lesson_is_taken_once_it_is_whole_and_again_when_it_changes(tmp_path: Path) -> None:
    looks: list[int] = []

    def stop() -> bool:
        looks.append(1)
        if len(looks) == 2:
            (tmp_path / "1.wav").write_bytes(b"longer")  # it is still being written at the second look
        if len(looks) == 5:
            (tmp_path / "1.wav").write_bytes(b"another recording")
        return len(looks) > 7

    for name in ("1.wav", "1.png"):
        (tmp_path / name).write_bytes(b"x")
    found: Iterator[Item] = arriving(tmp_path, stop, look_s=0.01)
    assert [(item.name, len(looks)) for item in found] == [("1", 3), ("1", 6)]


def test_the_key_of_an_item_is_its_content(tmp_path: Path) -> None:
    for name in ("a.png", "b.wav", "c.wav"):
        (tmp_path / name).write_bytes(name[:1].encode())

    def key(audio: str = "b.wav", **parameters: str) -> str:
        return Item("n", tmp_path / "a.png", tmp_path / audio, parameters, {}).key()

    assert key() == key()
    assert len({key(), key("c.wav"), key(fps="30")}) == 3


def test_a_ledger_goes_on_after_a_torn_line(tmp_path: Path) -> None:
    Ledger(tmp_path).note(Entry("one", "1", "done"))
    with (tmp_path / NAME).open("a") as file:
        file.write('{"key": "two", "na')
    ledger = Ledger(tmp_path)
    ledger.note(Entry("three", "3", "failed", error_type="audio_silent", rounds=1))
    again = Ledger(tmp_path)
    assert again.get("one") == Entry("one", "1", "done")
    assert again.get("two") is None
    assert again.get("three") == ledger.get("three")


@pytest.mark.parametrize("name", ["failed.csv", "failed.jsonl"])
def test_failed_rows_are_a_manifest_again(tmp_path: Path, name: str) -> None:
    item = Item(
        "第一课", tmp_path / "a.png", tmp_path / "b.wav", {"fps": "30"}, {"portrait": "a.png", "audio": "b.wav", "fps": "30"}
    )
    tally = Tally(failed=1, failures=[(item, Entry("k", item.name, "failed", error_type="audio_silent", message="No sound."))])
    (tmp_path / "out").mkdir()
    write_failed(tally, tmp_path / "out" / name)
    (again,) = read_manifest(tmp_path / "out" / name)
    assert (again.name, os.fspath(again.audio), dict(again.parameters)) == ("第一课", os.fspath(item.audio), {"fps": "30"})
    write_failed(Tally(), tmp_path / "out" / name)
    assert not (tmp_path / "out" / name).exists()
