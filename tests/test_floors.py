"""Imports point down only: console -> analytics -> telemetry; serve -> deployments -> telemetry; sonoscope may import any."""

import ast
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
FLOORS = {
    "telemetry": set(),
    "deployments": {"telemetry"},
    "serve": {"deployments", "telemetry"},
    "analytics": {"telemetry"},
    "console": {"analytics", "telemetry"},
    "sonoscope": {"telemetry", "deployments", "serve", "analytics", "console"},
}
HEAVY = {"telemetry": {"ray", "torch", "fastapi"}, "analytics": {"ray", "torch", "fastapi"}, "console": {"ray", "torch", "fastapi"}}


def imported(path: Path) -> set[str]:
    """Top-level names of every import in a file, inside functions too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("floor", FLOORS)
def test_a_floor_imports_only_what_lies_below(floor: str) -> None:
    files = list((ROOT / floor).rglob("*.py"))
    assert files
    for path in files:
        beside_or_above = imported(path) & (FLOORS.keys() - FLOORS[floor] - {floor})
        assert not beside_or_above, f"{path.relative_to(ROOT)} imports {beside_or_above}"


@pytest.mark.parametrize("floor", HEAVY)
def test_the_reading_half_needs_neither_ray_nor_torch(floor: str) -> None:
    for path in (ROOT / floor).rglob("*.py"):
        assert not imported(path) & HEAVY[floor], path


def closure(extra: str) -> dict[str, int]:
    """Every distribution that `sonoscope[extra]` brings in this environment, with its size in bytes."""
    wanted, sizes = [("sonoscope", extra)], {}
    seen: set[tuple[str, str]] = set()
    while wanted:
        name, extra = wanted.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        try:
            found = distribution(name)
        except PackageNotFoundError:
            continue
        sizes[found.metadata["Name"].lower()] = sum(
            Path(str(found.locate_file(f))).stat().st_size for f in found.files or () if _real(found, f)
        )
        for line in found.requires or ():
            need = Requirement(line)
            if need.marker is None or need.marker.evaluate({"extra": extra}):
                wanted += [(need.name, one) for one in need.extras or {""}] + [(need.name, "")]
    return sizes


def _real(found, file) -> bool:
    return Path(str(found.locate_file(file))).is_file()


def test_console_and_analysis_install_without_torch_and_ray() -> None:
    sizes = closure("console")
    assert {"streamlit", "pyarrow", "pandas"} <= sizes.keys()
    assert not sizes.keys() & {"ray", "torch", "opencv-python-headless"}
    assert sum(sizes.values()) < 800e6  # 230 MB of it are scipy, statsmodels and scikit-learn, which the questions stand on


def test_the_command_line_answers_before_anything_heavy_is_imported() -> None:
    heavy = {"ray", "torch", "cv2", "streamlit", "duckdb", "pyarrow", "numpy", "pandas", "httpx", "fastapi", "sqlalchemy"}
    script = "import sys, sonoscope.cli; print(*{name.split('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert "typer" in loaded
    assert not heavy & set(loaded)


def test_python_is_the_one_we_promise() -> None:
    assert sys.version_info[:2] == (3, 11)
