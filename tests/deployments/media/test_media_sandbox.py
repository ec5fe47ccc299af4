"""Children that decode are bounded: in memory, seconds, files and network; whatever ends them is an answer, not a failure."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from PIL import Image

from deployments.media import sandbox as sandbox_module
from deployments.media.audio import decode_audio
from deployments.media.picture import PictureLimits, decode_picture
from deployments.media.sandbox import Bounds, Ending, Sandbox
from telemetry.errors import RequestError

BOUNDS = Bounds(seconds=10.0, cpu_s=10.0, memory_bytes=1 << 30)


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """One of its own, which decoders use too."""
    own = Sandbox()
    for module in ("picture", "audio"):
        monkeypatch.setattr(f"deployments.media.{module}.shared", lambda: own)
    yield own
    own.close()


def script(sandbox: Sandbox, code: str, bounds: Bounds = BOUNDS) -> tuple[Ending, str]:
    """How a Python program ended under bounds, and what it printed."""
    reader, writer = os.pipe()
    with Path(os.devnull).open("r+b") as null, os.fdopen(reader) as said:
        child = sandbox.program([sys.executable, "-I", "-S", "-c", code], (null.fileno(), writer, null.fileno()), bounds)
        os.close(writer)
        return child.ending(), said.read()


def keeper_of(sandbox: Sandbox) -> psutil.Process:
    found = [child for child in psutil.Process().children() if sandbox_module.keeper.__name__ in child.cmdline()]
    running = [process for process in found if process.pid == sandbox._process.pid]  # type: ignore[union-attr]
    assert len(running) == 1
    return running[0]


def png(width: int = 8, height: int = 8) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height)).save(buffer, "PNG")
    return buffer.getvalue()


def test_a_program_has_its_standard_descriptors_and_no_other(sandbox: Sandbox) -> None:
    ending, said = script(sandbox, "import os; print(sorted(os.listdir('/proc/self/fd')))")
    assert ending.status == 0
    assert said == "['0', '1', '2', '3']\n"  # 3 is the listing's own


def test_memory_is_bounded(sandbox: Sandbox) -> None:
    ending, _ = script(sandbox, "bytearray(2 << 30)")
    assert ending.status == 1
    assert script(sandbox, "bytearray(1 << 28)")[0].status == 0


def test_processor_seconds_are_bounded(sandbox: Sandbox) -> None:
    ending, _ = script(sandbox, "while True: pass", Bounds(seconds=30.0, cpu_s=1.0, memory_bytes=1 << 30))
    assert ending.status < 0
    assert not ending.timed_out


def test_the_wall_clock_is_bounded(sandbox: Sandbox) -> None:
    ending, _ = script(sandbox, "import time; time.sleep(60)", Bounds(seconds=0.3, cpu_s=1.0, memory_bytes=1 << 30))
    assert ending.timed_out


def test_no_file_can_be_written(sandbox: Sandbox, tmp_path: Path) -> None:
    ending, _ = script(sandbox, f"open({str(tmp_path / 'a')!r}, 'wb', buffering=0).write(b'x')")
    assert ending.status != 0
    assert (tmp_path / "a").stat().st_size == 0


def test_there_is_no_network_where_the_kernel_allows_that(sandbox: Sandbox) -> None:
    if not sandbox.warm("program")["isolated"]:
        pytest.skip("this kernel gives an ordinary user no network namespace")
    code = "import socket; s = socket.socket(); s.settimeout(5); print(s.connect_ex(('127.0.0.1', 9)), socket.if_nameindex())"
    _, said = script(sandbox, code)
    assert said.startswith("101 ")  # "network is unreachable": even loopback is down


def test_a_decoder_can_open_nothing(sandbox: Sandbox, tmp_path: Path) -> None:
    seen = subprocess.run(
        [sys.executable, "-c", PROBE, str(tmp_path / "picture")], capture_output=True, text=True, check=True, timeout=60
    )
    assert seen.stdout.split() == ["EMFILE", "EMFILE"]


PROBE = """
import errno, os, socket, sys
from pathlib import Path
from deployments.media import keeper
def tried(open):
    try:
        open()
    except OSError as error:
        return errno.errorcode[error.errno]
order = {"memory_bytes": 1 << 30, "cpu_s": 5, "file_bytes": 1 << 20}
keeper.bound(order, files=0, has=keeper._address_bytes())
print(tried(lambda: os.open("/etc/hostname", os.O_RDONLY)), tried(socket.socket))
"""


def test_a_decoder_that_is_killed_is_a_damaged_picture(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(3000, 3000))
    with pytest.raises(RequestError) as caught:
        decode_picture(tmp_path / "a.png", PictureLimits(timeout_s=0.001))
    assert caught.value.type == "image_undecodable"
    assert decode_picture(tmp_path / "a.png").pixels.shape == (3000, 3000, 3)


def test_a_picture_that_needs_too_much_memory_is_too_large(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deployments.media.picture._BYTES_AT_LEAST", 1 << 20)
    monkeypatch.setattr("deployments.media.picture._BYTES_A_PIXEL", 0)
    (tmp_path / "a.png").write_bytes(png(3000, 3000))
    with pytest.raises(RequestError) as caught:
        decode_picture(tmp_path / "a.png")
    assert caught.value.type == "image_too_large"


def test_a_keeper_that_died_is_replaced(sandbox: Sandbox, tmp_path: Path, speech: Path) -> None:
    (tmp_path / "a.png").write_bytes(png())
    decode_picture(tmp_path / "a.png")
    keeper = keeper_of(sandbox)
    keeper.kill()
    keeper.wait(5)
    assert decode_picture(tmp_path / "a.png").pixels.shape == (8, 8, 3)
    assert keeper_of(sandbox).pid != keeper.pid
    assert decode_audio(speech).seconds == pytest.approx(7.1)


def test_children_and_keeper_end_with_their_owner(sandbox: Sandbox) -> None:
    with Path(os.devnull).open("r+b") as null:
        files = (null.fileno(),) * 3
        child = sandbox.program([sys.executable, "-c", "import time; time.sleep(60)"], files, BOUNDS)
        keeper = keeper_of(sandbox)
        while not (sleepers := keeper.children()):
            time.sleep(0.01)
        child.close()
        sleepers[0].wait(5)
        other = sandbox.program([sys.executable, "-c", "import time; time.sleep(60)"], files, BOUNDS)
        while not (sleepers := keeper.children()):
            time.sleep(0.01)
        sandbox._control.close()  # type: ignore[union-attr]
        assert psutil.wait_procs([keeper, *sleepers], timeout=5)[1] == []
        other.close()


def test_several_tasks_run_at_a_time(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png())
    with Path(os.devnull).open("r+b") as null:
        sleeper = sandbox.program([sys.executable, "-c", "import time; time.sleep(60)"], (null.fileno(),) * 3, BOUNDS)
        assert decode_picture(tmp_path / "a.png").pixels.shape == (8, 8, 3)
        sleeper.close()
