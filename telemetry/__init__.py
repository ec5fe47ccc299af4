"""The vocabulary, and everything that writes telemetry. No Ray, no torch: usable in any Python service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from telemetry.service import event, init, request, stage

__all__ = ["event", "init", "request", "stage"]


def __getattr__(name: str) -> Any:
    """The names of `telemetry.service`, imported when they are used: the command line needs only the vocabulary, and at once."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from telemetry import service

    return getattr(service, name)
