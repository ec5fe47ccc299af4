"""A service that knows nothing of Sonoscope but three lines: thumbnails over HTTP, every request with its record.

pip install fastapi uvicorn sonoscope
uvicorn examples.thumbnails:app
curl -X POST 'localhost:8000/thumbnail?width=320'
sonoscope query 'resize_ms > 5' --data-dir var/thumbnails
"""

from __future__ import annotations

import os
import time

from fastapi import FastAPI

import telemetry

app = FastAPI()
telemetry.init("thumbnails", os.environ.get("THUMBNAILS_DATA", "var/thumbnails"), app=app)  # 1


@app.post("/thumbnail")
def thumbnail(width: int = 320) -> dict[str, int]:
    """Pretends to scale a picture: wide ones take longer, and some are too wide."""
    with telemetry.stage("resize", width=width) as stage:  # 2
        if width > 4096:
            raise ValueError("too wide")
        time.sleep(width / 100_000)
        stage.set(pixels=width * width)
    telemetry.event("resized", width=width)  # 3
    return {"width": width}
