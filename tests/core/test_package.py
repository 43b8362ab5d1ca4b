"""The package's face: its names are there, and cost nothing until they are used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import mfn_core


def test_every_public_name_is_there() -> None:
    for name in mfn_core.__all__:
        assert getattr(mfn_core, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        mfn_core.nonsense  # noqa: B018


def test_importing_a_part_does_not_load_torch() -> None:
    code = (
        "import sys; from mfn_core.errors import MFNError; print({'torch', 'transformers', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
