"""`make incident`: the console on the incident that ships, and the commands that find its cause.

python -m examples.incident.show [--port 8501]
"""

from __future__ import annotations

import argparse
import os
import subprocess
from pathlib import Path

from analytics.requests import load
from analytics.stores.local import LocalStore
from serve.settings import Settings
from sonoscope.console import command, environment, installed

DATA = Path(__file__).parent / "data"
STEPS = (
    ("How many drifted?", "query 'audio_drift_ms > 100 && experiment = incident' --count"),
    ("A complaint comes with its video. What is wrong, and where does it come from?", "explain {video}"),
    ("What do all of them share?", "explain 'audio_drift_ms > 100' --among 'experiment = incident'"),
    ("Does it cause the drift? The same requests at 25 fps and as they were:", "experiments show incident-replay"),
    ("The one record of the video:", "record {video}"),
)


def complaint() -> Path:
    """The kept video whose sound is the latest."""
    rows = load(LocalStore(DATA / "journal")).frame
    kept = [(DATA / "videos" / f"{id}.mp4").is_file() for id in rows["request_id"]]
    worst = rows.loc[kept].sort_values("audio_drift_ms", na_position="first").iloc[-1]
    return DATA / "videos" / f"{worst['request_id']}.mp4"


def main() -> None:
    """Prints the commands and runs the console until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=Settings.model_fields["console_port"].default)
    asked = parser.parse_args()
    here = os.path.relpath(DATA)
    video = os.path.relpath(complaint())
    print("The requests of one service; people complain that the sound comes late.\n")
    for title, words in STEPS:
        print(f"# {title}\nsonoscope {words.format(video=video)} --data-dir {here}\n")
    if not installed():
        print("The console is not installed: pip install 'sonoscope[console]'")
        return
    settings = Settings(data_dir=DATA, console_port=asked.port)
    print(f"The console: http://127.0.0.1:{asked.port}/?since=all (Ctrl-C ends it)", flush=True)
    env = {**os.environ, **environment(settings, ""), "SONOSCOPE_DATA_DIR": str(DATA)}
    with subprocess.Popen(command(settings), env=env) as process:
        try:
            process.wait()
        except KeyboardInterrupt:
            process.terminate()


if __name__ == "__main__":
    main()
