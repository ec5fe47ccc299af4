"""The audit trail: who asked for what, with which settings, what came of it, and who saw it. A chain of hashes over every entry.

An entry is written in the transaction of what it tells (a job that is accepted, an end that is decided), so it is on the disk
before the answer, at no further wait for it. The chain runs over commitments, not over the entries themselves: SHA-256 of a random
salt and the entry. Erasing deletes salt and entry, after which nobody can find the entry by guessing, and the chain still holds.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import sqlalchemy as sa

from serve.tables import AUDIT, AUDIT_HEAD, AUDIT_START, engine, prepare

Action = Literal["generate", "retry", "recognize", "ended", "cancel", "score", "video", "link", "erased", "export"]
ACTIONS: tuple[Action, ...] = get_args(Action)
BLOCK = 1000


@dataclass(frozen=True)
class Fault:
    """Where the trail does not hold: the number of the entry, and what is wrong with it."""

    seq: int
    what: str


@dataclass(frozen=True)
class Verdict:
    """What a look at the whole trail found. `head`: number and hash of the last entry, to be kept elsewhere."""

    entries: int
    erased: int
    head: tuple[int, str]
    faults: tuple[Fault, ...]


def write(connection: sa.Connection, action: Action, told: Mapping[str, Any]) -> int:
    """Appends an entry in the transaction of `connection`; returns its number. None values are left out."""
    # The row of the head is held until the transaction ends: entries of several processes come one after the other.
    taken = sa.update(AUDIT_HEAD).where(AUDIT_HEAD.c.id == 1).values(seq=AUDIT_HEAD.c.seq + 1)
    head = connection.execute(taken.returning(AUDIT_HEAD.c.seq, AUDIT_HEAD.c.hash)).one()
    now, salt = time.time(), secrets.token_hex(32)
    entry = canonical({"seq": head.seq, "at": now, "action": action, **{k: v for k, v in told.items() if v is not None}})
    commitment = _commitment(salt, entry)
    hash = _link(head.hash, head.seq, commitment)
    row = {"seq": head.seq, "at": now, "salt": salt, "entry": entry, "commitment": commitment, "hash": hash}
    row |= {name: told.get(name) for name in ("request_id", "owner_hash")}
    connection.execute(AUDIT.insert().values(**row))
    connection.execute(sa.update(AUDIT_HEAD).where(AUDIT_HEAD.c.id == 1).values(hash=hash))
    return head.seq


class Trail:
    """Blocking access to the audit trail, in the database of the jobs."""

    def __init__(self, url: str):
        self._engine = engine(url, durable=True)
        prepare(self._engine)

    def close(self) -> None:
        """Ends the connections."""
        self._engine.dispose()

    def note(self, action: Action, told: Mapping[str, Any]) -> None:
        """Appends an entry; it is on the disk when this returns."""
        with self._engine.begin() as connection:
            write(connection, action, told)

    def entries(
        self,
        *,
        department: str | None = None,
        owner_hash: str | None = None,
        request_id: str | None = None,
        who: str | None = None,
        action: str | None = None,
        since: float | None = None,
        until: float | None = None,
        before: int | None = None,
        newest_first: bool = False,
    ) -> Iterator[dict[str, Any]]:
        """The entries that are not erased, oldest first unless told otherwise. `owner_hash`: whose request it is about; `who`: who
        did it, as the entry says. `since`, `until`: seconds since 1970; `before`: only entries of a smaller number.

        Read block by block, each in a transaction of its own: whoever takes them slowly holds nothing up.
        """
        conditions = [
            AUDIT.c.entry.is_not(None),
            *([AUDIT.c.owner_hash == owner_hash] if owner_hash else []),
            *([AUDIT.c.request_id == request_id] if request_id else []),
            *([AUDIT.c.at >= since] if since is not None else []),
            *([AUDIT.c.at < until] if until is not None else []),
        ]
        said = {name: one for name, one in (("department", department), ("who", who), ("action", action)) if one is not None}
        order, edge = (AUDIT.c.seq.desc(), before) if newest_first else (AUDIT.c.seq.asc(), 0)
        while True:
            beyond = [] if edge is None else [AUDIT.c.seq < edge if newest_first else AUDIT.c.seq > edge]
            within = [AUDIT.c.seq < before] if before is not None else []
            query = sa.select(AUDIT.c.seq, AUDIT.c.entry).where(*conditions, *beyond, *within).order_by(order).limit(BLOCK)
            with self._engine.connect() as connection:
                block = connection.execute(query).all()
            for row in block:
                entry = json.loads(row.entry)
                if all(entry.get(name) == wanted for name, wanted in said.items()):
                    yield entry
            if len(block) < BLOCK:
                return
            edge = block[-1].seq

    def verify(self) -> Verdict:
        """Looks at every entry. A changed, missing, added or moved one is a fault with its number; so is an erasure that no entry
        tells of."""
        faults: list[Fault] = []
        before, expected, count, gone = AUDIT_START, 1, 0, set[int]()
        noted: set[int] = set()
        with self._engine.connect() as connection:
            rows = connection.execution_options(yield_per=BLOCK).execute(sa.select(AUDIT).order_by(AUDIT.c.seq)).mappings()
            for row in rows:
                count += 1
                if row["seq"] != expected:
                    faults.append(Fault(expected, f"missing: the next entry is {row['seq']}"))
                if row["hash"] != _link(before, row["seq"], row["commitment"]):
                    faults.append(Fault(row["seq"], "its hash does not follow from the entry before and its commitment"))
                if row["entry"] is None:
                    gone.add(row["seq"])
                elif row["salt"] is None or _commitment(row["salt"], row["entry"]) != row["commitment"]:
                    faults.append(Fault(row["seq"], "it is not what was committed to"))
                else:
                    entry = json.loads(row["entry"])
                    noted.update(entry["erased"] if entry["action"] == "erased" else ())
                    faults += [
                        Fault(row["seq"], f"its column {name} is not what it says")
                        for name in ("at", "request_id", "owner_hash")
                        if row[name] != entry.get(name)
                    ]
                before, expected = row["hash"], row["seq"] + 1
            head = connection.execute(sa.select(AUDIT_HEAD.c.seq, AUDIT_HEAD.c.hash)).one()
        if (head.seq, head.hash) != (expected - 1, before):
            faults.append(Fault(expected, f"missing at the end: the head is at {head.seq}"))
        faults += [Fault(seq, "erased, and no later entry says so") for seq in sorted(gone - noted)]
        return Verdict(count, len(gone), (head.seq, head.hash), tuple(sorted(faults, key=lambda one: one.seq)))

    def erase(
        self,
        why: str,
        *,
        owner_hash: str | None = None,
        request_ids: Sequence[str] = (),
        before: float | None = None,
    ) -> tuple[int, list[str]]:
        """Deletes what the entries of a person, of requests, or from before a time say, and notes that; returns how many, and the
        requests they were about. Entries that say what was erased stay."""
        about = [AUDIT.c.owner_hash == owner_hash] if owner_hash else []
        about += [AUDIT.c.request_id.in_(request_ids)] if request_ids else []
        about += [AUDIT.c.at < before] if before is not None else []
        if not about:
            return 0, []
        with self._engine.begin() as connection:
            # The head first: an entry that is written meanwhile waits, and cannot slip between the look and the deletion.
            connection.execute(sa.update(AUDIT_HEAD).where(AUDIT_HEAD.c.id == 1).values(seq=AUDIT_HEAD.c.seq))
            query = sa.select(AUDIT.c.seq, AUDIT.c.request_id, AUDIT.c.entry).where(AUDIT.c.entry.is_not(None), sa.or_(*about))
            found = [row for row in connection.execute(query) if json.loads(row.entry)["action"] != "erased"]
            if not found:
                return 0, []
            numbers = [row.seq for row in found]
            for start in range(0, len(numbers), BLOCK):
                part = sa.update(AUDIT).where(AUDIT.c.seq.in_(numbers[start : start + BLOCK]))
                connection.execute(part.values(entry=None, salt=None, request_id=None, owner_hash=None))
            write(connection, "erased", {"erased": numbers, "why": why})
        return len(found), sorted({row.request_id for row in found if row.request_id})


def canonical(entry: Mapping[str, Any]) -> str:
    """The one text of an entry: what is hashed."""
    return json.dumps(entry, ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=str)


def _commitment(salt: str, entry: str) -> str:
    return hashlib.sha256(f"{salt}\n{entry}".encode()).hexdigest()


def _link(before: str, seq: int, commitment: str) -> str:
    return hashlib.sha256(f"{before}\n{seq}\n{commitment}".encode()).hexdigest()
