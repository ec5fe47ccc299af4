"""How Ray Serve's proxies are told of the gRPC door. No gRPC is imported here: the supervisor reads it, too."""

from __future__ import annotations

from typing import Any

_BESIDE_THE_FILES = 2**16
"""Bytes of a message beside its files: parameters, labels, names."""


def grpc_options(port: int) -> dict[str, Any]:
    """What `grpc_options` holds, in `serve.start` and in a Serve config file alike.

    Reflection is off: Ray answers it itself, past our gate.
    """
    servicer = "serve.grpc.sonoscope_pb2_grpc.add_SonoscopeServicer_to_server"
    return {"port": port, "grpc_servicer_functions": [servicer], "enable_reflection": False}


def grpc_environment(port: int, max_upload_bytes: int) -> dict[str, str]:
    """Environment of the proxies: the largest message (Ray's default is 2 GiB), which is refused before it is read."""
    return {
        "SONOSCOPE_GRPC_PORT": str(port),
        "RAY_SERVE_GRPC_MAX_MESSAGE_SIZE": str(max_upload_bytes + _BESIDE_THE_FILES),
    }
