"""Machines of a cluster die under load: `python -m tests.chaos.nodes [--faults worker,encoder,proxy,head_proxy] [--after 20]`.

Three Ray nodes with addresses and disks of their own (network namespaces: wants root). Ends with 1 where a request had neither a
video nor a clear retriable error, or an accepted job no whole video.
"""

from __future__ import annotations

import argparse
import sys
import time

from tests.chaos.nodes_cluster import Cluster, kill_proxy
from tests.chaos.nodes_load import Count, Load
from tests.chaos.nodes_machine import Machine, why_not

FAULTS = ("worker", "encoder", "proxy", "head_proxy")
"""A worker that encodes nothing; the worker that encodes; the HTTP proxy of a worker, and of the head."""


def strike(cluster: Cluster, fault: str, *, before_s: float, after_s: float, most_s: float, settle_s: float) -> Count:
    """One fault under load, and the count of what came out."""
    load = Load(cluster, fault, seconds=2.0 if fault == "encoder" else 0.6)  # long enough to be struck while it is encoded
    try:
        time.sleep(before_s)
        encodes = cluster.having("encode_video", among=cluster.workers)
        match fault:
            case "worker" | "encoder":
                if fault == "encoder":
                    assert load.encoding(), "nothing was encoded"
                    assert encodes is not None
                    victim = encodes
                else:
                    victim = next(one for one in cluster.workers if one is not encodes)
                load.count.fault += f" ({held(victim)})"
                load.struck()
                load.count.lost = cluster.lose(victim)
                cluster.join()
            case _:
                victim = cluster.head if fault == "head_proxy" else cluster.workers[0]
                load.struck()
                assert kill_proxy(victim), f"{victim.name} has no proxy"
        load.go_on(after_s, most_s)
    finally:
        count = load.end(settle_s)
    return count


def held(machine: Machine) -> str:
    """Which deployments had a replica on a machine."""
    names = ("api", "runner", "load_audio", "preprocess_image", "run_inference", "encode_video", "measure_sync")
    return ", ".join(name for name in names if machine.titled(f"ServeReplica:sonoscope:{name}")) or "nothing"


def main() -> int:
    """Starts the cluster, lets it suffer, prints the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", default=",".join(FAULTS))
    parser.add_argument("--before", type=float, default=8.0, help="seconds of load before each fault")
    parser.add_argument("--after", type=float, default=20.0, help="seconds of load after each fault, at least")
    parser.add_argument("--most", type=float, default=150.0, help="and at most, until a new request has its video")
    parser.add_argument("--settle", type=float, default=120.0, help="seconds for the ends of the accepted jobs")
    parser.add_argument("--hold", type=float, default=None, help="forward_hold_s, if not node.sh's")
    asked = parser.parse_args()
    if reason := why_not():
        print(reason)
        return 2
    started = time.monotonic()
    cluster = Cluster(hold_s=asked.hold)
    counts: list[Count] = []
    try:
        print(f"three nodes and the application after {time.monotonic() - started:.1f} s", flush=True)
        for fault in asked.faults.split(","):
            counts.append(
                strike(cluster, fault, before_s=asked.before, after_s=asked.after, most_s=asked.most, settle_s=asked.settle)
            )
            print(counts[-1], flush=True)
        time.sleep(3)
        print(f"journals of the living: {cluster.lines()} lines, {cluster.undelivered()} not delivered")
    finally:
        cluster.close()
    return 0 if all(count.faultless for count in counts) else 1


if __name__ == "__main__":
    sys.exit(main())
