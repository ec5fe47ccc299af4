"""UUIDv7: the version, the variant, the time, and the order."""

from __future__ import annotations

import threading
import time
import uuid

from telemetry.ids import uuid7


def test_an_id_says_when_it_was_made() -> None:
    before = time.time_ns() // 1_000_000
    made = uuid.UUID(uuid7())
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert before <= made.int >> 80 <= time.time_ns() // 1_000_000 + 1


def test_ids_rise_within_a_process_and_never_repeat() -> None:
    made = [uuid7() for _ in range(5000)]
    assert made == sorted(made)
    shared: list[str] = []
    threads = [threading.Thread(target=lambda: shared.extend(uuid7() for _ in range(1000))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(shared + made)) == 9000
