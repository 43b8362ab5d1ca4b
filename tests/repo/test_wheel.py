"""The wheel carries all that `mfn demo` needs, nothing else, and the demo stays small."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MIB = 2**20
LIMITS = {"demo/model": 32 * MIB, "demo/corpus": 3 * MIB, "demo/index": 16 * MIB, "demo/dense": 4 * MIB}


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """File names inside a freshly built wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(build, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


@pytest.mark.parametrize(
    "name",
    [
        "mfn_core/__init__.py",
        "mfn_core/py.typed",
        "mfn_server/__init__.py",
        "mfn_server/cli.py",
        "mfn_server/py.typed",
        "mfn_server/_frontend/index.html",
        "mfn_server/_migrations/env.py",
        "mfn_server/_demo/model/config.json",
        "mfn_server/_demo/model/model.safetensors",
        "mfn_server/_demo/model/tokenizer.json",
        "mfn_server/_demo/model/card.json",
        "mfn_server/_demo/dense/model.safetensors",
    ],
)
def test_wheel_has(names: list[str], name: str) -> None:
    assert name in names


@pytest.mark.parametrize(
    ("folder", "inside"),
    [
        ("mfn_core", "mfn_core"),
        ("backend/mfn_server", "mfn_server"),
        ("frontend", "mfn_server/_frontend"),
        ("migrations", "mfn_server/_migrations"),
        ("demo", "mfn_server/_demo"),
    ],
)
def test_wheel_has_every_tracked_file_of(names: list[str], folder: str, inside: str) -> None:
    listed = subprocess.run(["git", "ls-files", folder], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    tracked = [name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]
    assert tracked
    missing = [name for name in tracked if inside + name.removeprefix(folder) not in names]
    assert not missing


def test_wheel_has_nothing_else(names: list[str]) -> None:
    strange = [n for n in names if not n.startswith(("mfn_core/", "mfn_server/", "mfn_studio-"))]
    assert not strange
    assert not [n for n in names if "__pycache__" in n or n.endswith((".pyc", ".sqlite3", ".db"))]
    assert not [n for n in names if n.endswith((".pt", ".bin", ".pkl", ".npz"))], "weights ship as safetensors only"


@pytest.mark.parametrize("folder", LIMITS)
def test_demo_is_small(folder: str) -> None:
    size = sum(file.stat().st_size for file in (ROOT / folder).rglob("*") if file.is_file())
    assert size <= LIMITS[folder], f"{folder} has {size / MIB:.1f} MiB, more than {LIMITS[folder] / MIB:.0f}"


def test_pins_cover_what_is_required() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *(r for extra in project["optional-dependencies"].values() for r in extra)]
    pinned = {line.partition("==")[0].lower().replace("_", "-") for line in _lines("constraints.txt")}
    for requirement in wanted:
        name = requirement.split("[")[0].split(">")[0].split("=")[0].strip().lower().replace("_", "-")
        assert name in pinned | {"mfn-studio"}, f"{name} is not in constraints.txt"


def _lines(name: str) -> list[str]:
    return [line for line in (ROOT / name).read_text(encoding="utf-8").splitlines() if "==" in line]
