"""Uploads and results by name, wherever they are kept: a folder, or an object store that every node of a cluster reaches.

Names are `assets/{SHA-256}` and `videos/{request id}.mp4`; no path of one node means anything on another.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from deployments.node_cache import Held, NodeCache
from telemetry.errors import RequestError

SCHEMES = ("file", "s3")
_ASSETS, _VIDEOS = "assets", "videos"
_USED = ".used"
"""An empty object beside an upload, written at each use: an object store does not keep when something was last read."""
_S3_CONFIG = {"connect_timeout": 5, "read_timeout": 20, "retries": {"max_attempts": 2, "mode": "standard"}}


def asset_name(asset_id: str) -> str:
    """The artifact of an upload."""
    return f"{_ASSETS}/{asset_id}"


def video_name(request_id: str) -> str:
    """The artifact of a result."""
    return f"{_VIDEOS}/{request_id}.mp4"


def curve_name(request_id: str) -> str:
    """What the meter found in a result."""
    return f"{_VIDEOS}/{request_id}.sync.parquet"


@dataclass(frozen=True)
class Place:
    """Where artifacts are kept; plain values, the same on every node."""

    data_dir: Path
    """Of this node; the folder itself where there is no `url`, else what the node keeps of the store lies in it."""
    url: str | None = None
    endpoint: str | None = None
    """Address of an S3 server other than AWS'."""
    cache_bytes: int = 4 * 2**30


class Artifacts(Protocol):
    """A store. All calls block; they raise RequestError(store_unreachable) where the store does not answer or refuses."""

    def place(self, name: str) -> Path:
        """Where a file on this node is to be written that `put` then takes; it should appear there by a rename."""
        ...

    def put(self, name: str, file: Path) -> None:
        """Takes a whole file out of `place`; once this returns, every node has it under `name`, whole. `file` is gone then."""
        ...

    def held(self, name: str) -> Held:
        """The whole file on this node's disk, as long as the result is not closed. Raises FileNotFoundError."""
        ...

    def use(self, name: str) -> int:
        """Size in bytes; the time of its last use is now. Raises FileNotFoundError."""
        ...

    def uploads(self) -> Iterator[tuple[str, float]]:
        """Each upload's name and the time of its last use (s since 1970)."""
        ...

    def remove(self, name: str) -> None:
        """Removes an artifact, if it is there."""
        ...

    def remove_result(self, request_id: str) -> None:
        """Removes whatever there is of a request, whole or not."""
        ...

    def check(self) -> None:
        """Raises RequestError(store_unreachable) unless the store answers and lets us in."""
        ...


@functools.lru_cache(maxsize=8)
def artifacts_at(place: Place) -> Artifacts:
    """This process's store. Raises ValueError for a URL that is none of `SCHEMES`, RequestError where a folder cannot be made."""
    if place.url is None:
        return FolderArtifacts(place.data_dir)
    match urlsplit(place.url).scheme:
        case "file":
            return FolderArtifacts(Path(unquote(urlsplit(place.url).path)))
        case "s3":
            return RemoteArtifacts(place)
        case other:
            raise ValueError(f"{other}:// is no artifact store; use {' or '.join(f'{name}://' for name in SCHEMES)}")


class FolderArtifacts:
    """A folder on this machine, or one that every node has under the same path."""

    def __init__(self, root: Path):
        self._root = root

    def place(self, name: str) -> Path:
        """Its own place: a rename makes it appear."""
        path = self._root / name
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return path

    def put(self, name: str, file: Path) -> None:
        """A rename, where it does not lie there already."""
        if file != self._root / name:
            file.replace(self._root / name)

    def held(self, name: str) -> Held:
        """The file itself; only retention removes it."""
        path = self._root / name
        if not path.is_file():
            raise FileNotFoundError(name)
        return Held(path)

    def use(self, name: str) -> int:
        """Sets its time, from which retention counts."""
        path = self._root / name
        os.utime(path)
        return path.stat().st_size

    def uploads(self) -> Iterator[tuple[str, float]]:
        """What a killed upload left half-written is among them."""
        with contextlib.suppress(FileNotFoundError):  # nothing was uploaded yet
            for path in (self._root / _ASSETS).iterdir():
                with contextlib.suppress(FileNotFoundError):  # it has just got its name, or gone
                    yield asset_name(path.name), path.stat().st_mtime

    def remove(self, name: str) -> None:
        """Unlinks it."""
        (self._root / name).unlink(missing_ok=True)

    def remove_result(self, request_id: str) -> None:
        """Also what a killed encoder was writing."""
        videos = self._root / _VIDEOS
        for path in (*videos.glob(f"{request_id}.*"), *videos.glob(f".{request_id}.*")):
            path.unlink(missing_ok=True)

    def check(self) -> None:
        """A folder answers as long as it can be made."""
        try:
            self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise _unreachable(str(self._root), error) from error


class RemoteArtifacts:
    """An object store by URL, and on each node a bounded cache of it.

    Uploads are cached by their SHA-256, which is checked when they arrive; results by name and the store's version of them (ETag),
    for a second attempt may write the same name.
    """

    def __init__(self, place: Place):
        import fsspec  # a service with a folder does without it
        from botocore.exceptions import BotoCoreError, ClientError

        assert place.url is not None
        options = {"endpoint_url": place.endpoint, "config_kwargs": _S3_CONFIG, "use_listings_cache": False}
        made: tuple[Any, Any] = fsspec.url_to_fs(place.url.rstrip("/"), **options)
        self._store, self._root = made
        self._url = place.url
        self._failures = (OSError, BotoCoreError, ClientError)
        self._cache = NodeCache(place.data_dir / "artifacts", place.cache_bytes)

    def place(self, name: str) -> Path:
        """A draft beside the cache."""
        return self._cache.draft(Path(name).name)

    def put(self, name: str, file: Path) -> None:
        """Uploads it; S3 shows an object only once it is whole. The file becomes this node's copy in the cache."""
        try:
            with self._reached():
                if name.startswith(_ASSETS) and self._store.exists(self._at(name)):  # the same upload once more
                    self._store.pipe_file(self._at(name) + _USED, b"")
                else:
                    self._store.put_file(str(file), self._at(name))
                if (held := self._cache.adopt(self._key(name), file)) is not None:
                    held.close()
        except FileNotFoundError as error:
            raise _unreachable(self._url, error) from error
        finally:
            file.unlink(missing_ok=True)

    def held(self, name: str) -> Held:
        """From the cache, else fetched."""
        with self._reached():
            return self._cache.get(self._key(name), lambda draft: self._fetch(name, draft))

    def use(self, name: str) -> int:
        """Writes the mark of its use."""
        with self._reached():
            size = int(self._store.info(self._at(name))["size"])
            self._store.pipe_file(self._at(name) + _USED, b"")
        return size

    def uploads(self) -> Iterator[tuple[str, float]]:
        """Of both the object and its mark the later time; a mark without an object is not among them."""
        with self._reached():
            try:
                found: dict[str, Any] = self._store.find(self._at(_ASSETS), detail=True)
            except FileNotFoundError:
                found = {}
        times = {path.rpartition("/")[2]: _seconds(about["LastModified"]) for path, about in found.items()}
        for name, at in times.items():
            if not name.endswith(_USED):
                yield asset_name(name), max(at, times.get(name + _USED, at))

    def remove(self, name: str) -> None:
        """The object, the mark of its use, and this node's copy; the copies of others go with their bound."""
        with self._reached():
            for gone in (name, name + _USED) if name.startswith(_ASSETS) else (name,):
                with contextlib.suppress(FileNotFoundError):
                    self._store.rm_file(self._at(gone))
        if name.startswith(_ASSETS):
            self._cache.forget(_hash(name))

    def remove_result(self, request_id: str) -> None:
        """What a killed encoder was writing lies on its node, and goes there after a day."""
        self.remove(video_name(request_id))
        self.remove(curve_name(request_id))

    def check(self) -> None:
        """Asks for the bucket."""
        with self._reached():
            if not self._store.exists(self._root.partition("/")[0]):
                raise RequestError("store_unreachable", f"There is no bucket for {self._url}.")

    def _at(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _key(self, name: str) -> str:
        if name.startswith(_ASSETS):
            return _hash(name)
        about = self._store.info(self._at(name))
        return hashlib.sha256(f"{name} {about['ETag']} {about['size']}".encode()).hexdigest()

    def _fetch(self, name: str, draft: Path) -> None:
        self._store.get_file(self._at(name), str(draft))
        if name.startswith(_ASSETS) and _sha256(draft) != _hash(name):
            raise RequestError("internal", f"The store's copy of {name} does not have the content of its name.")

    @contextlib.contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        except self._failures as error:
            raise _unreachable(self._url, error) from error


def _unreachable(where: str, error: Exception) -> RequestError:
    return RequestError("store_unreachable", f"The artifact store {where} failed: {type(error).__name__}: {error}")


def _hash(name: str) -> str:
    return name.rpartition("/")[2]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _seconds(time: datetime) -> float:
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
