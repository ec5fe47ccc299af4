"""The set-up commands of cluster.yaml in a bare folder, as a node runs them. It installs everything anew (minutes, gigabytes)."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not os.environ.get("SONOSCOPE_TEST_SETUP"), reason="installs everything anew: SONOSCOPE_TEST_SETUP=1 runs it")
def test_the_set_up_commands_make_a_node(tmp_path: Path) -> None:
    """Home folder and files of a node; then Ray and the application's own code start from what the commands have installed."""
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    for name in filter(None, tracked.split("\0")):
        if (ROOT / name).is_file():
            there = tmp_path / "sonoscope" / name
            there.parent.mkdir(parents=True, exist_ok=True)
            there.write_bytes((ROOT / name).read_bytes())
            there.chmod((ROOT / name).stat().st_mode)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SONOSCOPE_", "PYTHON", "VIRTUAL_ENV"))}
    env = kept | {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path / "data")}
    for command in yaml.safe_load((ROOT / "cluster.yaml").read_text())["setup_commands"]:
        done = subprocess.run(["bash", "-c", command], env=env, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]
    binaries = tmp_path / "sonoscope" / ".venv" / "bin"
    run = "import yaml; from serve.app import build; build(yaml.safe_load(open('serve/config.yaml'))['applications'][0]['args'] | "
    run += f"{{'data_dir': {str(tmp_path / 'node')!r}}}); import serve; print(serve.__file__)"
    done = subprocess.run([binaries / "python", "-c", run], env=env, cwd=tmp_path / "sonoscope", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip() == str(tmp_path / "sonoscope" / "serve" / "__init__.py")
    for name in ("ray", "serve", "sonoscope"):
        assert subprocess.run([binaries / name, "--help"], env=env, capture_output=True).returncode == 0, name
