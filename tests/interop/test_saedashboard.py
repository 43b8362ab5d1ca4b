"""What SAEDashboard gathers of a layer's features, and what an index says of them: the same, as far as they both go.

With a Python that has sae-dashboard, which `MFN_SAEDASHBOARD_PYTHON` names; none is made here, since its pins take
gigabytes.
"""

from __future__ import annotations

import json
import os

import pytest

from benchmarks.__main__ import main
from benchmarks.index_peer import VARIABLE

PYTHON = os.environ.get(VARIABLE)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.interop,
    pytest.mark.skipif(not PYTHON, reason=f"{VARIABLE} names no Python that has sae-dashboard"),
]


def test_both_find_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert PYTHON
    assert main(["index_peer", "--quick", "--peer", PYTHON, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert "sae-dashboard" in printed["settings"]["package"]
    found = {name: metric["value"] for name, metric in printed["metrics"].items()}
    # Where pre-activations tie to the last bit, either side may choose either.
    assert found["same_firing_counts"] >= 90
    assert found["same_strongest"] >= 97
    assert found["same_promoted"] >= 97
    assert found["largest_difference"] < 1e-3
