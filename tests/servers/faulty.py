"""The misbehaving receiver as a server of the tests."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tests.servers.process import Server


class Faulty(Server):
    """Takes OTLP at `url`/v1/traces and bulks at `url`; `behave` changes how."""

    name = "receiver"

    def __init__(self) -> None:
        super().__init__()
        self.behave()

    def command(self) -> list[str]:
        """Our own program."""
        return [sys.executable, str(Path(__file__).parent / "receiver.py"), str(self.port), str(self.folder)]

    def behave(self, **mode: Any) -> None:
        """From the next request on; nothing = well."""
        part = self.folder / "mode.part"
        part.write_text(json.dumps(mode))
        part.replace(self.folder / "mode.json")

    def accepted(self) -> list[str]:
        """Ids in the order of their acceptance; one that came twice stands twice."""
        return [line.split()[1] for line in self._lines()]

    def moments(self) -> dict[str, float]:
        """When each id was accepted first, seconds since 1970."""
        return {id: float(at) for at, id in (line.split() for line in reversed(self._lines()))}

    def _lines(self) -> list[str]:
        path = self.folder / "accepted.txt"
        return path.read_text().splitlines() if path.exists() else []
