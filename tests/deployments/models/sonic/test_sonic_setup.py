"""What `sonic` says when it cannot be used, and which parameters it takes: no checkout is needed for that."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from deployments.models.protocol import Portrait, Speech
from deployments.models.ranges import refuse_outside
from deployments.models.sonic.backend import Sonic
from deployments.models.sonic.installed import CHECKPOINTS, CODE
from deployments.models.sonic.terms import PARAMETERS
from telemetry.errors import RequestError

PORTRAIT = Portrait(np.full((64, 64, 3), 128, np.uint8), np.zeros((468, 3), np.float32), "grey")
PLAIN = {"inference_steps": 2, "dynamic_scale": 1.0, "fps": 25.0, "seed": 0}


def placed(folder: Path, code: str) -> Path:
    """A folder with every file that is looked for, and this text as its sonic.py."""
    for name in (*CODE, *(f"checkpoints/{one}" for one in CHECKPOINTS)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("")
    (folder / "sonic.py").write_text(code)
    return folder


def refused(sonic: Sonic) -> RequestError:
    with pytest.raises(RequestError) as found:
        list(sonic.generate(PORTRAIT, Speech(np.zeros(8000, np.float32)), PLAIN, lambda k, n: None))
    return found.value


def test_without_a_checkout_it_is_not_set_up() -> None:
    with pytest.raises(RequestError, match="checkout is not set") as found:
        Sonic().load("cpu")
    assert (found.value.type, found.value.field, found.value.http_status) == ("invalid_parameter", "model_name", 422)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    folder = placed(tmp_path, "")
    (folder / "checkpoints" / "RIFE" / "flownet.pkl").unlink()
    with pytest.raises(RequestError, match=r"missing: checkpoints/RIFE/flownet\.pkl") as found:
        Sonic(folder).load("cpu")
    assert str(tmp_path) not in found.value.message


def test_code_that_does_not_load_is_told_with_its_reason(tmp_path: Path) -> None:
    sonic = Sonic(placed(tmp_path, "raise ImportError('no module of that name')"))
    sonic.load("cpu")
    error = refused(sonic)
    assert (error.type, error.field) == ("invalid_parameter", "model_name")
    assert "ImportError: no module of that name" in error.message
    assert sonic.worker_pid is None


def test_a_process_that_dies_while_it_loads_is_told(tmp_path: Path) -> None:
    sonic = Sonic(placed(tmp_path, "import os, sys; print('out of luck', file=sys.stderr, flush=True); os._exit(7)"))
    sonic.load("cpu")
    assert "ended with status 7, last words: out of luck" in refused(sonic).message


def test_too_long_speech_is_refused_before_anything_runs(tmp_path: Path) -> None:
    sonic = Sonic(placed(tmp_path, "import time; time.sleep(60)"))
    sonic.load("cpu")
    with pytest.raises(RequestError, match=r"takes 399\.96 s of speech") as found:
        next(sonic.generate(PORTRAIT, Speech(np.zeros(16_000 * 400, np.float32)), PLAIN, lambda k, n: None))
    assert found.value.type == "audio_too_long"
    sonic.close()


def test_one_that_gives_up_while_it_loads_is_let_go_and_the_worker_stays(tmp_path: Path) -> None:
    sonic = Sonic(placed(tmp_path, "import time; time.sleep(60)"), python=sys.executable)
    sonic.load("cpu")
    pid = sonic.worker_pid

    def give_up(k: int, n: int) -> None:
        assert (k, n) == (0, 2)
        raise InterruptedError

    with pytest.raises(InterruptedError):
        next(sonic.generate(PORTRAIT, Speech(np.zeros(8000, np.float32)), PLAIN, give_up))
    assert sonic.worker_pid == pid
    sonic.close()


@pytest.mark.parametrize(("parameter", "value"), [("fps", 30.0), ("fps", 24.0), ("duration_s", 400.0)])
def test_what_it_does_not_take_is_refused(parameter: str, value: float) -> None:
    with pytest.raises(RequestError, match=f"model_name sonic takes {parameter} = ") as found:
        refuse_outside("sonic", PARAMETERS, {"fps": 25.0, "duration_s": None} | {parameter: value})
    assert (found.value.http_status, found.value.field) == (422, parameter)
