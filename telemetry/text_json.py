"""JSON from outside that is also text: what everything behind it can hold."""

from __future__ import annotations

import json
from typing import Any


def read_object(data: str | bytes, *, nan: bool = True) -> dict[str, Any]:
    """The JSON object in `data`. Without `nan` its numbers are JSON's own. Raises ValueError, whose text says what it is not."""
    try:
        found = json.loads(data)
        # Half a surrogate pair ("\ud800") is legal JSON, but no text: no answer, log or database could hold it.
        json.dumps(found, ensure_ascii=False, allow_nan=nan).encode()
    except (ValueError, RecursionError):
        raise ValueError("not JSON") from None
    if not isinstance(found, dict):
        raise ValueError("no JSON object")
    return found
