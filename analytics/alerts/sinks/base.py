"""What a sink is."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Protocol


class SinkError(Exception):
    """A message was not taken; the text says by whom and why, and never holds a secret."""


@dataclass(frozen=True)
class Message:
    """`id` stays the same when the message is sent again. `kind`: firing, reminder, resolved or test. `facts`: the same as JSON."""

    id: str
    kind: str
    alert: str
    title: str
    text: str
    facts: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


class AlertSink(Protocol):
    """Somebody who takes messages."""

    def send(self, message: Message) -> None:
        """Returns when the message was taken. Raises SinkError; it is then sent again later."""
        ...
