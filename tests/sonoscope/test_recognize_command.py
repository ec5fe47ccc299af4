"""Folders and manifests become pictures with the folder that they came from; what is not there is said with its code points."""

from __future__ import annotations

from pathlib import Path

import pytest

from sonoscope.commands.pictures import PREFIX_CHARACTERS, groups, pictures, prefix


@pytest.fixture
def uploads(tmp_path: Path) -> Path:
    for name in ("a/1.png", "a/2.JPG", "b/c/3.webp", "b/notes.txt", "b/4.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


def test_a_folder_gives_its_pictures_each_with_its_own_folder(uploads: Path) -> None:
    found = pictures(uploads)
    assert [one.path.name for one in found] == ["1.png", "2.JPG", "4.png", "3.webp"]
    assert [one.prefix for one in found] == [str(uploads / folder) for folder in ("a", "a", "b", "b/c")]


def test_a_file_is_taken_whatever_its_ending(uploads: Path) -> None:
    (uploads / "odd.dat").write_bytes(b"x")
    assert [one.trouble for one in pictures(uploads / "odd.dat")] == [""]


def test_a_manifest_is_read_line_by_line(uploads: Path) -> None:
    manifest = uploads / "list.txt"
    manifest.write_text("\ufeffa/1.png\n\n# a comment\nb/4.png\nb/none.png\n", "utf-8")
    found = pictures(manifest)
    assert [one.path.name for one in found] == ["1.png", "4.png", "none.png"]
    assert [bool(one.trouble) for one in found] == [False, False, True]
    assert found[0].prefix == str(uploads / "a")


def test_a_path_with_a_character_that_nobody_sees_is_named_with_its_twin(uploads: Path) -> None:
    manifest = uploads / "list.txt"
    manifest.write_text("a/1\u200b.png\n", "utf-8")
    (one,) = pictures(manifest)
    assert one.trouble == "path_invisible_characters: a/1‹U+200B›.png holds U+200B ZERO WIDTH SPACE at 3; 1.png is there"


def test_groups_keep_to_one_folder_and_to_their_size(uploads: Path) -> None:
    sizes = [[one.path.name for one in group] for group in groups(pictures(uploads), 2)]
    assert sizes == [["1.png", "2.JPG"], ["4.png"], ["3.webp"]]
    assert [len(group) for group in groups(pictures(uploads), 1)] == [1, 1, 1, 1]


def test_a_prefix_can_be_seen_and_is_short() -> None:
    assert prefix("up\u200bload/ａ") == "upload/a"
    long = prefix("x" * 500)
    assert len(long) == PREFIX_CHARACTERS
    assert long.startswith("…")
