"""The map in docs/architecture.md holds: who may import whom."""

from __future__ import annotations

import ast
from itertools import permutations
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WORKSHOPS = ("training", "indexing", "generation", "steering", "evaluation", "toy")


def imported(folder: Path) -> set[str]:
    """Modules that are imported by anything in a folder, at whatever depth of the code."""
    found: set[str] = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
            elif isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
    assert found
    return found


@pytest.mark.parametrize(("one", "other"), list(permutations(WORKSHOPS, 2)))
def test_workshops_stand_side_by_side(one: str, other: str) -> None:
    beside = f"mfn_core.{other}"
    assert not [n for n in imported(ROOT / "mfn_core" / one) if n == beside or n.startswith(f"{beside}.")]


@pytest.mark.parametrize("folder", ["evaluation", "steering", "metrics", "naming"])
def test_nothing_that_an_experiment_is_made_of_knows_of_experiments(folder: str) -> None:
    assert not [n for n in imported(ROOT / "mfn_core" / folder) if n.startswith("mfn_core.experiments")]


def test_the_science_knows_nothing_of_the_service() -> None:
    outside = ("mfn_server", "fastapi", "starlette", "sqlalchemy", "uvicorn")
    assert not [n for n in imported(ROOT / "mfn_core") if n.split(".")[0] in outside]
