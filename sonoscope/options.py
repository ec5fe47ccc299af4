"""Options that many commands have, declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DataDir = Annotated[Path | None, typer.Option("--data-dir", help="Data folder (default: $SONOSCOPE_DATA_DIR, else the user's)")]
Url = Annotated[str | None, typer.Option("--url", help="Address of the service (default: what `up` started)")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
