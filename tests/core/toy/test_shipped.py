"""The results that ship are those of the commands as they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mfn_core.evidence.document import Document
from mfn_core.toy import engineering_study, recovery_study, superposition_study

EVIDENCE = Path(__file__).resolve().parents[3] / "demo" / "evidence"
SHIPPED = {
    superposition_study.NAME: superposition_study.plan(quick=False, seed=0),
    engineering_study.NAME: engineering_study.plan(quick=False, seed=0),
    recovery_study.NAME: recovery_study.plan(quick=False, seed=0),
}


@pytest.mark.parametrize("name", SHIPPED)
def test_what_ships_is_small_and_of_what_would_be_trained_today(name: str) -> None:
    path = EVIDENCE / f"{name}.json"
    document = Document.read(path)
    assert path.stat().st_size <= 300_000
    assert (document.kind, document.name) == ("toy", name)
    assert document.settings == json.loads(json.dumps(SHIPPED[name].settings()))
    assert "dirty" not in document.made["commit"]
