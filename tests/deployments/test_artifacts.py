"""One contract for both stores, a folder and S3 (moto's server); then what only an object store has."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deployments.artifacts import (
    Artifacts,
    FolderArtifacts,
    Place,
    RemoteArtifacts,
    artifacts_at,
    asset_name,
    curve_name,
    video_name,
)
from telemetry.errors import RequestError
from tests.servers.s3 import BUCKET, CREDENTIALS, S3

Node = Callable[..., RemoteArtifacts]
UPLOAD = b"a portrait"
NAME = asset_name(hashlib.sha256(UPLOAD).hexdigest())


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    server = S3()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def node(s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A function: one node's store, by the node's name. Each test has a prefix of its own in the bucket."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)

    def made(name: str, cache_bytes: int = 10_000) -> RemoteArtifacts:
        return RemoteArtifacts(Place(tmp_path / name, f"s3://{BUCKET}/{tmp_path.name}", s3.url, cache_bytes))

    return made


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Artifacts:
    return FolderArtifacts(tmp_path) if request.param == "folder" else request.getfixturevalue("node")("one")


def put(store: Artifacts, name: str, content: bytes) -> None:
    place = store.place(name)
    draft = place.with_name(f".{place.name}.part")
    draft.write_bytes(content)
    draft.replace(place)
    store.put(name, place)


def read(store: Artifacts, name: str) -> bytes:
    with store.held(name) as path:
        return path.read_bytes()


def test_what_was_put_is_there_whole_and_counted(store: Artifacts) -> None:
    put(store, NAME, UPLOAD)
    put(store, video_name("r1"), b"video")
    assert read(store, NAME) == UPLOAD
    assert read(store, video_name("r1")) == b"video"
    assert store.use(NAME) == len(UPLOAD)


def test_the_same_upload_twice_is_one(store: Artifacts) -> None:
    put(store, NAME, UPLOAD)
    put(store, NAME, UPLOAD)
    assert [name for name, _ in store.uploads()] == [NAME]


def test_what_is_not_there_is_not_found(store: Artifacts) -> None:
    for call in (store.held, store.use):
        with pytest.raises(FileNotFoundError):
            call(NAME)
    assert list(store.uploads()) == []


def test_a_second_attempt_replaces_the_first(store: Artifacts) -> None:
    put(store, video_name("r1"), b"first")
    assert read(store, video_name("r1")) == b"first"
    put(store, video_name("r1"), b"again")
    assert read(store, video_name("r1")) == b"again"


def test_removed_is_gone_and_removing_twice_is_harmless(store: Artifacts) -> None:
    for name in (NAME, video_name("r1"), curve_name("r1"), video_name("r2")):
        put(store, name, UPLOAD)
    for _ in range(2):
        store.remove(NAME)
        store.remove_result("r1")
    for name in (NAME, video_name("r1"), curve_name("r1")):
        with pytest.raises(FileNotFoundError):
            store.held(name)
    assert read(store, video_name("r2")) == UPLOAD


def test_a_use_is_the_time_that_retention_counts_from(store: Artifacts) -> None:
    put(store, NAME, UPLOAD)
    ((_, stored_at),) = store.uploads()
    time.sleep(1.1)  # S3 tells whole seconds
    store.use(NAME)
    ((_, used_at),) = store.uploads()
    assert used_at > stored_at
    assert abs(used_at - time.time()) < 5


def test_a_store_answers(store: Artifacts) -> None:
    store.check()


def test_another_node_reads_what_one_has_written(node: Node) -> None:
    put(node("one"), video_name("r1"), b"video")
    assert read(node("two"), video_name("r1")) == b"video"


def test_a_node_that_lost_its_disk_reads_on(node: Node, tmp_path: Path) -> None:
    put(node("one"), NAME, UPLOAD)
    for path in (tmp_path / "one").rglob("*"):
        if path.is_file():
            path.unlink()
    assert read(node("one"), NAME) == UPLOAD


def test_a_node_never_serves_an_attempt_that_another_has_replaced(node: Node) -> None:
    one, two = node("one"), node("two")
    put(one, video_name("r1"), b"first")
    put(two, video_name("r1"), b"again")
    assert read(one, video_name("r1")) == b"again"


def test_an_upload_is_fetched_once(node: Node, s3: S3, tmp_path: Path) -> None:
    put(node("one"), NAME, UPLOAD)
    two = node("two")
    assert read(two, NAME) == UPLOAD
    s3.client().delete_object(Bucket=BUCKET, Key=f"{tmp_path.name}/{NAME}")
    assert read(two, NAME) == UPLOAD


def test_the_cache_keeps_its_bound(node: Node, tmp_path: Path) -> None:
    store = node("one", 2500)
    for n in range(5):
        put(store, video_name(f"r{n}"), bytes(1000))
    kept = sum(path.stat().st_size for path in (tmp_path / "one").rglob("*") if path.is_file())
    assert kept <= 2500
    assert read(store, video_name("r0")) == bytes(1000)


def test_an_upload_whose_content_was_changed_in_the_store_is_refused(node: Node, s3: S3, tmp_path: Path) -> None:
    put(node("one"), NAME, UPLOAD)
    s3.client().put_object(Bucket=BUCKET, Key=f"{tmp_path.name}/{NAME}", Body=b"something else")
    with pytest.raises(RequestError, match="does not have the content of its name"):
        node("two").held(NAME)


def test_a_large_result_goes_in_parts_and_comes_back_as_it_was(node: Node) -> None:
    video = os.urandom(1 << 20) * 120  # beyond s3fs' two parts of 50 MiB
    put(node("one", 10**9), video_name("large"), video)
    assert hashlib.sha256(read(node("two", 10**9), video_name("large"))).digest() == hashlib.sha256(video).digest()


@pytest.mark.usefixtures("node")
def test_a_bucket_that_is_not_there_is_said(s3: S3, tmp_path: Path) -> None:
    store = RemoteArtifacts(Place(tmp_path, "s3://nobody-made-it/x", s3.url))
    with pytest.raises(RequestError) as caught:
        store.check()
    assert caught.value.type == "store_unreachable"
    place = store.place(video_name("r1"))
    place.write_bytes(b"video")
    with pytest.raises(RequestError) as caught:
        store.put(video_name("r1"), place)
    assert (caught.value.type, caught.value.retriable) == ("store_unreachable", True)
    assert not place.exists()


def test_a_store_that_is_down_is_said_and_what_is_here_stays_readable(
    node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = S3()
    own.start()
    try:
        store = RemoteArtifacts(Place(tmp_path / "own", f"s3://{BUCKET}/x", own.url))
        put(store, NAME, UPLOAD)
        own.kill()
        for call in (lambda: store.held(video_name("r1")), lambda: store.use(NAME), store.check, lambda: list(store.uploads())):
            with pytest.raises(RequestError) as caught:
                call()
            assert caught.value.type == "store_unreachable"
        assert read(store, NAME) == UPLOAD
    finally:
        own.stop()


def test_places_are_folders_or_stores_by_their_url(tmp_path: Path) -> None:
    assert isinstance(artifacts_at(Place(tmp_path)), FolderArtifacts)
    put(artifacts_at(Place(tmp_path / "node", f"file://{tmp_path}/a%20b")), NAME, UPLOAD)
    assert (tmp_path / "a b" / NAME).read_bytes() == UPLOAD
    with pytest.raises(ValueError, match="ftp:// is no artifact store"):
        artifacts_at(Place(tmp_path, "ftp://host/folder"))
