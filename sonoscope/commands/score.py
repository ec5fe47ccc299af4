"""`sonoscope score`: a person's judgement of a request."""

from __future__ import annotations

from pathlib import Path

from sonoscope.client import Client
from sonoscope.commands.common import errors, fail, out, print_json, service_url

SCORES = (-1, 0, 1)


def score(id: str, value: int, comment: str | None, *, url: str | None, data_dir: Path | None, as_json: bool) -> None:
    """Leaves the score on the request. Ends the command with 1 where it is none of SCORES or the request is not there."""
    if value not in SCORES:
        fail(f"{value} is no score", "-1 is bad, 0 undecided, 1 good; a negative one is written after two dashes: -- -1.")
    with errors(as_json), Client(service_url(url, data_dir)) as client:
        client.score(id, value, comment)
    if as_json:
        print_json({"request_id": id, "user_score": value, "user_comment": comment})
    else:
        out.print(f"{id} is judged {value:+d}." if value else f"{id} is judged undecided.")
