"""Preprocessed portraits on disk, by content and parameters, bounded in bytes."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import secrets
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from deployments.models.protocol import Portrait

VERSION = 2
"""Part of every key: raise it when decoding, detection, mesh or crop change what they give."""


class PortraitCache:
    """Files that appear whole or not at all. Safe for several processes; the least recently used go first."""

    def __init__(self, folder: Path, max_bytes: int):
        self._folder = folder
        self._max_bytes = max_bytes
        folder.mkdir(parents=True, exist_ok=True)

    @staticmethod
    def key(asset_id: str, **parameters: Any) -> str:
        """Hash of the content's id, the parameters and this code's version."""
        text = json.dumps([VERSION, asset_id, parameters], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def get(self, key: str) -> tuple[Portrait, dict[str, Any]] | None:
        """The portrait and its facts, or None. A file that cannot be read is removed: it will be made anew."""
        path = self._path(key)
        try:
            with np.load(path, allow_pickle=False) as stored:
                portrait = Portrait(stored["pixels"], stored["mesh"], digest=key)
                facts = json.loads(str(stored["facts"]))
            os.utime(path)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            path.unlink(missing_ok=True)
            return None
        return portrait, facts

    def put(self, key: str, portrait: Portrait, facts: dict[str, Any]) -> None:
        """Stores a portrait, then removes the least recently used files beyond the bound."""
        if self._max_bytes == 0:
            return
        buffer = io.BytesIO()
        np.savez(buffer, pixels=portrait.pixels, mesh=portrait.mesh, facts=np.array(json.dumps(facts)))
        part = self._folder / f".{key}.{secrets.token_hex(4)}.part"
        # A full disk must not fail the request: the cache is only a convenience.
        with contextlib.suppress(OSError):
            part.write_bytes(buffer.getbuffer())
            part.replace(self._path(key))
        part.unlink(missing_ok=True)
        self._trim()

    def _trim(self) -> None:
        found: list[tuple[float, int, Path]] = []
        for path in self._folder.glob("*.npz"):
            with contextlib.suppress(FileNotFoundError):  # another process trimmed it
                stat = path.stat()
                found.append((stat.st_mtime, stat.st_size, path))
        total = sum(size for _, size, _ in found)
        for _, size, path in sorted(found, key=lambda item: item[0]):
            if total <= self._max_bytes:
                return
            path.unlink(missing_ok=True)
            total -= size

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}.npz"
