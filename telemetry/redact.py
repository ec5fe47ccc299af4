"""Keyed hashes for what names a person or a file: telemetry can be joined by them and not read back."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
from pathlib import Path

_KEY_BYTES = 32


class Redactor:
    """Hashes names with a secret key, so that a list of likely names does not undo it."""

    def __init__(self, key: bytes) -> None:
        if len(key) < _KEY_BYTES:
            raise ValueError(f"the key has {len(key)} bytes, not {_KEY_BYTES}")
        self._key = key

    @classmethod
    def from_file(cls, path: Path) -> Redactor:
        """The key in `path`, made there (readable by its owner only) by whoever comes first.

        Raises OSError, and ValueError where the key is too short.
        """
        with contextlib.suppress(FileNotFoundError):
            return cls(path.read_bytes())
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(secrets.token_bytes(_KEY_BYTES))
                file.flush()
                os.fsync(file.fileno())
            with contextlib.suppress(FileExistsError):  # another process was first: its key counts
                path.hardlink_to(draft)  # the name appears with its whole content, or not at all
        finally:
            draft.unlink()
        return cls(path.read_bytes())

    def hash(self, text: str) -> str:
        """32 hexadecimal digits (HMAC-SHA256, cut): the same text gives the same under the same key."""
        return hmac.new(self._key, text.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()[:32]
