"""The reference that is built from docstrings: nothing public is missing, and what it points to is there."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from scripts import api_docs

ROOT = Path(__file__).resolve().parents[2]
MODULES = {module.__name__: module for module in api_docs.modules()}


def members(cls: type) -> Iterator[tuple[str, object]]:
    """A class's own public methods and properties."""
    for name, thing in vars(cls).items():
        if name.startswith("_"):
            continue
        plain = thing.__func__ if isinstance(thing, staticmethod | classmethod) else thing
        if inspect.isfunction(plain) or isinstance(plain, property) or hasattr(plain, "__wrapped__"):
            yield name, plain


@pytest.mark.parametrize("module", MODULES.values(), ids=list(MODULES))
def test_every_public_name_has_a_docstring(module: ModuleType) -> None:
    assert inspect.getdoc(module), module.__name__
    for name, thing in api_docs.public_names(module).items():
        if not (inspect.isclass(thing) or inspect.isfunction(thing)):
            continue
        assert thing.__doc__, f"{module.__name__}.{name}"
        # A dataclass or a NamedTuple without words of its own gets its signature for a docstring.
        assert not thing.__doc__.startswith(f"{name}("), f"{module.__name__}.{name} describes nothing"
        if inspect.isclass(thing):
            for member, method in members(thing):
                assert inspect.getdoc(method), f"{module.__name__}.{name}.{member}"


@pytest.mark.parametrize("path", sorted((ROOT / "mfn_core").rglob("*.py")), ids=lambda path: path.stem)
def test_pages_that_code_names_are_there(path: Path) -> None:
    for page in re.findall(r"\bdocs/[\w./-]+\.(?:md|ipynb)", path.read_text(encoding="utf-8")):
        assert (ROOT / page).is_file(), f"{path.relative_to(ROOT)} names {page}, which is not there"


@pytest.mark.slow
def test_the_pages_stand_alone(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "scripts.api_docs", str(tmp_path / "site")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "site" / "mfn_core" / "model.html").read_text(encoding="utf-8")
    assert "int64 [B, T]" in page
    for path in (tmp_path / "site").rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"<(?:script|img|iframe)[^>]+src=\"(?:https?:)?//", text), path
        assert not re.search(r"<link[^>]+href=\"(?:https?:)?//", text), path
        assert "system-message" not in text
    names = {path.relative_to(tmp_path / "site").as_posix() for path in (tmp_path / "site").rglob("*.html")}
    for name in MODULES:
        assert f"{name.replace('.', '/')}.html" in names
