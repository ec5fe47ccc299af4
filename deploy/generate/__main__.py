"""`python -m deploy.generate`: writes the index template, the lifecycle policy, the dashboards and Kibana's saved objects anew."""

from __future__ import annotations

import json
from pathlib import Path

from deploy.generate import elasticsearch, grafana, kibana

FOLDER = Path(__file__).parent.parent


def files() -> dict[str, str]:
    """Every generated file by its path below deploy/."""
    made = {f"elasticsearch/{name}.json": _json(body) for name, body in elasticsearch.bodies().items()}
    made |= {f"grafana/dashboards/{board['uid']}.json": _json(board) for board in grafana.dashboards()}
    made["kibana/sonoscope.ndjson"] = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in kibana.objects())
    return made


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for name, text in files().items():
        (FOLDER / name).write_text(text, "utf-8")
