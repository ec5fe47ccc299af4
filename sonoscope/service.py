"""The process that holds Ray and Serve; `up` starts it as a child with its settings in the environment."""

from __future__ import annotations

import logging
import os
import signal
import threading

import ray
from ray import serve
from ray.exceptions import RayError
from ray.serve.config import HTTPOptions, gRPCOptions
from ray.serve.exceptions import RayServeException

from serve.app import build
from serve.grpc.options import grpc_options
from serve.settings import Settings

_log = logging.getLogger("ray.serve")

# Shares that Ray hands out, not cores: the replicas of one machine must fit on two cores as on sixty-four.
MIN_CPUS = 8


def main() -> None:
    """Starts Ray and the application, waits for SIGTERM, and takes both down."""
    settings = Settings()
    if settings.ray_address:
        ray.init(address=settings.ray_address, logging_level=logging.WARNING)
    else:
        settings = settings.model_copy(update={"flow_host": settings.flow_host or "127.0.0.1"})
        ray.init(
            address="local",  # not one that somebody has started on this machine by `ray start`, or that RAY_ADDRESS names
            num_cpus=max(MIN_CPUS, os.cpu_count() or 1),
            include_dashboard=settings.dashboard,
            dashboard_host="127.0.0.1",
            dashboard_port=settings.dashboard_port or None,
            logging_level=logging.WARNING,
        )
    serve.start(
        http_options=HTTPOptions(host=settings.host, port=settings.port),
        grpc_options=None if settings.grpc_port is None else gRPCOptions(**grpc_options(settings.grpc_port)),
    )
    serve.run(build(settings), name="sonoscope", route_prefix="/")
    ended = threading.Event()
    # Only now: ray.init sets a handler of its own, which ends the process at once and leaves nothing time to drain.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    ended.wait()
    _drain(settings)
    if settings.ray_address:  # a Ray of our own takes everything with it, and asks its replicas one by one otherwise: 15 s
        serve.shutdown()
    ray.shutdown()


def _drain(settings: Settings) -> None:
    """Lets what runs end; what cannot be told so ends with the process, and is taken up again after its lease."""
    try:
        put_back = serve.get_app_handle("sonoscope").drain.remote(settings.drain_s).result(timeout_s=settings.drain_s + 10)
        _log.warning("drained: %d jobs were put back into the queue", put_back)
    except (RayError, RayServeException, TimeoutError) as error:
        _log.warning("not drained: %s", type(error).__name__)


if __name__ == "__main__":
    main()
