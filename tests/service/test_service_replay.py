"""Replays and sweeps against a real service: nothing is made twice, and only what is drawn at random may be a cause."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import wave
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analytics.requests import load
from analytics.stores.local import LocalStore

pytestmark = pytest.mark.service
MEDIA = Path(__file__).parents[2] / "sonoscope" / "media"
Cli = Callable[..., subprocess.CompletedProcess[str]]


def rows(service: Any, experiment: str) -> pd.DataFrame:
    frame = load(LocalStore(service.data_dir / "journal")).frame
    return frame[frame["experiment"] == experiment].reset_index(drop=True)


def speech(seconds: float, folder: Path) -> Path:
    """The beginning of the English recording."""
    path = folder / "speech.wav"
    with wave.open(str(MEDIA / "speech_en.wav")) as whole, wave.open(str(path), "wb") as cut:
        cut.setparams(whole.getparams())
        cut.writeframes(whole.readframes(int(seconds * whole.getframerate())))
    return path


@pytest.fixture(scope="module")
def drifting(service: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Two requests of a department whose 30 fps videos get their sound late; the fault stays on for the module."""
    service.fault_plan.write_text("- {fault: tail_cut, seconds: 1.0, when: {department: replayed, parameters: {fps: 30}}}")
    audio = speech(1.5, tmp_path_factory.mktemp("speech")).read_bytes()
    for seed in ("1", "2"):
        form = {"fps": "30", "min_resolution": "128", "inference_steps": "1", "seed": seed, "source_prefix": "for-replays"}
        answer = service.generate(audio=audio, headers={"X-Department": "replayed"}, **form)
        assert answer.status_code == 200, answer.text
    yield "source_prefix = for-replays && duration_drift_ms < -500.0"
    service.fault_plan.write_text("[]")


def test_a_killed_replay_goes_on_and_says_what_the_setting_causes(cli: Cli, service: Any, drifting: str) -> None:
    asked = ["replay", "--where", drifting, "--set", "fps=25", "--experiment", "killed", "--yes", "--json"]
    env = {**os.environ, "SONOSCOPE_DATA_DIR": str(service.data_dir), "SONOSCOPE_CONFIG": "none.toml"}
    first = subprocess.Popen([sys.executable, "-m", "sonoscope", *asked], env=env, stdout=subprocess.DEVNULL)
    end = time.monotonic() + 120
    while len(rows(service, "killed")) < 3 and first.poll() is None:
        assert time.monotonic() < end
        time.sleep(0.1)
    first.send_signal(signal.SIGKILL)
    first.wait()

    done = cli(service.data_dir, *asked)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["requests"], answer["blocks"]) == (12, 6)
    assert answer["made"]["there"] >= 3
    found = rows(service, "killed")
    assert len(found) == 12
    assert found["client_request_id"].nunique() == 12
    assert Counter(found["arm"]) == {"as it was": 6, "fps=25": 6}
    assert bool(found["randomized"].all())
    assert set(found["department"]) == {"replayed"}
    assert found.groupby("block")["seed"].nunique().eq(1).all()
    effects = {one["outcome"]: one for one in answer["effects"]}
    cut = effects["duration_drift_ms"]
    assert cut["word"] == "causes", cut
    assert cut["estimate"] == pytest.approx(1000, abs=60)
    assert cut["before"] == pytest.approx(-1000, abs=60)
    assert answer["effects"][0]["outcome"] == "duration_drift_ms", "what was asked about comes first"

    again = json.loads(cli(service.data_dir, *asked).stdout)
    assert again["made"] is None
    assert len(rows(service, "killed")) == 12
    other = cli(service.data_dir, *asked, "--repeats", 1)
    assert other.returncode == 1
    assert "--repeats = 3 and not 1" in other.stderr


def test_a_replay_says_what_it_cannot_do(cli: Cli, service: Any, drifting: str) -> None:
    base = ["replay", "--where", drifting, "--set", "fps=25"]
    for more, words in (([], "--yes"), (["--replica", "x"], "router"), (["--set", "fps=900"], "twice")):
        done = cli(service.data_dir, *base, *more)
        assert done.returncode == 1
        assert words in done.stderr
    assert "2 with these settings already" in cli(service.data_dir, *base[:-1], "fps=30", "--yes").stderr


def test_an_input_that_is_gone_is_said(cli: Cli, service: Any, tmp_path: Path) -> None:
    audio = speech(1.3, tmp_path).read_bytes()
    answer = service.generate(audio=audio, min_resolution="128", inference_steps="1", source_prefix="gone").json()
    gone = service.record(answer["request_id"]).request["audio_hash"]
    (service.data_dir / "assets" / gone).unlink()
    done = cli(service.data_dir, "replay", "--where", "source_prefix = gone", "--set", "fps=30", "--yes")
    assert done.returncode == 1
    assert "1 an input is no longer stored" in done.stderr


def test_a_sweep_is_balanced_goes_through_the_gate_and_is_listed(cli: Cli, service: Any, tmp_path: Path) -> None:
    files = [speech(1.2, tmp_path), MEDIA / "painting_mona_lisa.jpg"]
    asked = ["sweep", *files, "--grid", "fps=20,30", "--set", "min_resolution=128", "--set", "inference_steps=1",
             "--repeats", 6, "--experiment", "swept", "--outcome", "video_frames", "--yes"]  # fmt: skip
    done = cli(service.data_dir, *asked, "--fail-if", "p95(duration_drift_ms) > 500", "--json")
    assert done.returncode == 0, done.stderr
    assert "does not hold" in done.stderr
    found = rows(service, "swept")
    assert Counter(found["arm"]) == {"fps=20": 6, "fps=30": 6}
    assert found["block"].nunique() == 6
    assert not found["block"].str.contains("speech|mona").any()

    breached = cli(service.data_dir, *asked, "--fail-if", "p50(video_frames) > 2")
    assert breached.returncode == 1
    assert "holds" in breached.stdout
    assert "p50(video_frames) =" in breached.stdout
    assert len(rows(service, "swept")) == 12, "the gate was asked of the rows that are there"

    listed = {one["name"]: one for one in json.loads(cli(service.data_dir, "experiments", "--json").stdout)}
    assert listed["swept"]["factors"] == ["fps"]
    assert (listed["swept"]["requests"], listed["swept"]["planned"]) == (12, 12)
    shown = json.loads(cli(service.data_dir, "experiments", "show", "swept", "--outcome", "video_frames", "--json").stdout)
    assert shown["effects"][0]["word"] == "causes"
    assert shown["effects"][0]["estimate"] in (pytest.approx(12, abs=1), pytest.approx(-12, abs=1))
    unknown = cli(service.data_dir, "experiments", "show", "nobody")
    assert unknown.returncode == 1
    assert "swept" in unknown.stderr


def test_an_adaptive_sweep_gives_up_on_what_cannot_win(cli: Cli, service: Any, tmp_path: Path) -> None:
    files = [MEDIA / "painting_mona_lisa.jpg", speech(1.0, tmp_path)]
    asked = ["sweep", *files, "--grid", "fps=10,20,40", "--set", "min_resolution=128", "--set", "inference_steps=1",
             "--repeats", 6, "--adaptive", 3, "--outcome", "video_frames", "--experiment", "adapted",
             "--yes", "--json"]  # fmt: skip
    done = cli(service.data_dir, *asked)
    assert done.returncode == 0, done.stderr
    search = json.loads(done.stdout)["search"]
    found = rows(service, "adapted")
    assert search["means"]["fps=10"] == pytest.approx(10, abs=1)
    assert len(found) < 18
    assert not found["randomized"].any()
    assert len(found) == 6 * len(search["means"]) + sum(search["pruned"].values())
    assert json.loads(cli(service.data_dir, *asked).stdout)["search"] == search
    assert len(rows(service, "adapted")) == len(found)


def test_a_score_by_the_command_line_is_an_outcome(cli: Cli, service: Any) -> None:
    answer = service.generate(min_resolution="128", inference_steps="1", source_prefix="scored").json()
    done = cli(service.data_dir, "score", answer["request_id"], -1, "--comment", "late")
    assert done.returncode == 0, done.stderr
    found = cli(service.data_dir, "query", "source_prefix = scored && user_score = -1", "--json")
    (row,) = json.loads(found.stdout)["rows"]
    assert (row["user_score"], row["user_comment"]) == (-1, "late")
    assert cli(service.data_dir, "score", answer["request_id"], 5).returncode == 1
    assert "not_found" in cli(service.data_dir, "score", "nobody", 1).stderr
