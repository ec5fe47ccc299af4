"""The process that holds Ray and Serve; `up` starts it as a child with its settings in the environment."""

from __future__ import annotations

import logging
import os
import signal
import threading

import ray
from ray import serve
from ray.serve.config import HTTPOptions

from serve.app import build
from serve.settings import Settings

# Shares that Ray hands out, not cores: the replicas of one machine must fit on two cores as on sixty-four.
MIN_CPUS = 8


def main() -> None:
    """Starts Ray and the application, waits for SIGTERM, and takes both down."""
    settings = Settings()
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    if settings.ray_address:
        ray.init(address=settings.ray_address, logging_level=logging.WARNING)
    else:
        settings = settings.model_copy(update={"flow_host": settings.flow_host or "127.0.0.1"})
        ray.init(
            num_cpus=max(MIN_CPUS, os.cpu_count() or 1),
            include_dashboard=settings.dashboard,
            dashboard_host="127.0.0.1",
            dashboard_port=settings.dashboard_port or None,
            logging_level=logging.WARNING,
        )
    serve.start(http_options=HTTPOptions(host=settings.host, port=settings.port))
    serve.run(build(settings), name="sonoscope", route_prefix="/")
    ended.wait()
    serve.shutdown()
    ray.shutdown()


if __name__ == "__main__":
    main()
