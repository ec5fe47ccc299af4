"""API keys: who may ask for what, kept beside the jobs. Only a hash of the secret is stored.

A key is `sono_<id>_<secret>`. The secret is 32 random bytes, so a plain SHA-256 hides it as well as a slow hash would: those are
for passwords, which can be guessed.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from serve.tables import KEYS, engine, prepare
from telemetry.roles import SCOPES, Role, Scope

_KEY = re.compile(r"sono_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")


@dataclass(frozen=True)
class Caller:
    """Who asks, as a key says. `per_minute`: requests; `at_once`: jobs of the department that have not ended. None: no limit."""

    key_id: str
    name: str
    department: str
    role: Role
    per_minute: int | None = None
    at_once: int | None = None

    def may(self, scope: Scope) -> bool:
        """True where the role has the scope."""
        return scope in SCOPES[self.role]

    def sees(self, department: str | None) -> bool:
        """True for what belongs to the caller's department, and for everything where the role reads all departments."""
        return self.may("all_departments") or department == self.department


class KeyTable:
    """Blocking access to the keys, in the database of the jobs."""

    def __init__(self, url: str):
        self._engine = engine(url, durable=True)
        prepare(self._engine)

    def add(
        self,
        name: str,
        department: str,
        role: Role,
        *,
        expires: float | None = None,
        per_minute: int | None = None,
        at_once: int | None = None,
    ) -> str:
        """Makes a key and returns it; it cannot be read back. `expires`: seconds since 1970."""
        key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        row = {"key_id": key_id, "secret_hash": _hash(secret), "name": name, "department": department, "role": role}
        row |= {"created": time.time(), "expires": expires, "per_minute": per_minute, "at_once": at_once}
        with self._engine.begin() as connection:
            connection.execute(KEYS.insert().values(**row))
        return f"sono_{key_id}_{secret}"

    def list(self) -> Sequence[sa.RowMapping]:
        """Every key without its secret, the newest first."""
        with self._engine.connect() as connection:
            return connection.execute(sa.select(KEYS).order_by(KEYS.c.created.desc())).mappings().all()

    def any_valid(self) -> bool:
        """Whether at least one key opens the door now."""
        return any(_valid(row) for row in self.list())

    def revoke(self, key_id: str, *, after_s: float = 0.0) -> bool:
        """Ends a key, now or after so many seconds; False where there is none that is valid."""
        row = self._row(key_id)
        if row is None or not _valid(row):
            return False
        until = time.time() + after_s
        ends = until if row["expires"] is None else min(until, row["expires"])
        with self._engine.begin() as connection:
            connection.execute(sa.update(KEYS).where(KEYS.c.key_id == key_id).values(expires=ends))
        return True

    def rotate(self, key_id: str, *, after_s: float) -> str | None:
        """A new key with the rights and the end of an old one, which stays valid for `after_s`; None where that is not valid."""
        row = self._row(key_id)
        if row is None or not self.revoke(key_id, after_s=after_s):
            return None
        kept = {name: row[name] for name in ("expires", "per_minute", "at_once")}
        return self.add(row["name"], row["department"], row["role"], **kept)

    def caller(self, given: str) -> Caller | None:
        """Who has this key; None for one that is unknown, wrong, or over."""
        parts = _KEY.fullmatch(given)
        row = None if parts is None else self._row(parts[1])
        # One comparison in any case, and in constant time: neither its result nor its duration says which part was wrong.
        stored = "" if row is None else row["secret_hash"]
        same = hmac.compare_digest(stored, _hash("" if parts is None else parts[2]))
        if row is None or not same or not _valid(row):
            return None
        return Caller(**{name: row[name] for name in ("key_id", "name", "department", "role", "per_minute", "at_once")})

    def _row(self, key_id: str) -> sa.RowMapping | None:
        with self._engine.connect() as connection:
            return connection.execute(sa.select(KEYS).where(KEYS.c.key_id == key_id)).mappings().first()


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _valid(row: Any) -> bool:
    return row["expires"] is None or row["expires"] > time.time()
