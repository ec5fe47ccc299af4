"""Machines of a real cluster die under load: `python -m tests.chaos.nodes` in its short form, the encoder's machine and one proxy.

docs/cluster.md has the whole table.
"""

from __future__ import annotations

import pytest

from tests.chaos.nodes import strike
from tests.chaos.nodes_cluster import Cluster
from tests.chaos.nodes_machine import why_not
from tests.servers.postgres import postgres_bin

pytestmark = [pytest.mark.service, pytest.mark.chaos, pytest.mark.alone, pytest.mark.timeout(900)]


def test_a_lost_machine_and_a_killed_proxy_lose_no_accepted_job() -> None:
    if (reason := why_not()) is not None:
        pytest.skip(reason)
    if postgres_bin() is None:
        pytest.skip("PostgreSQL is not installed: make packages")
    cluster = Cluster()
    try:
        for fault in ("encoder", "proxy"):
            count = strike(cluster, fault, before_s=5.0, after_s=5.0, most_s=200.0, settle_s=120.0)
            assert count.faultless, count
            assert count.lost is None or count.lost.within_what_was_said, count
    finally:
        cluster.close()
