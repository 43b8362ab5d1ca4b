"""P4's tables of concepts: the detectors that are found are ablated, then turned, beside the same other features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mfn_core.evaluation.journal import Journal
from mfn_core.evaluation.labelled import LabelledTokens
from mfn_core.experiments import predictability, steering_concepts
from mfn_core.experiments.material import Material
from mfn_core.model import MFNModel

FIRES, CHANCE = "word/fires", "word/chance"


@pytest.fixture(scope="module")
def material(tiny_model: MFNModel) -> Material:
    """Two concepts: one is that a feature fires, one is chance."""
    rng = np.random.default_rng(3)
    rows = [np.r_[0, rng.integers(1, tiny_model.vocab_size, 24)].astype(np.int64) for _ in range(120)]
    with torch.no_grad():
        codes = tiny_model(torch.from_numpy(np.stack(rows)), record=True).traces[1].codes.dense().numpy()[:, 1:]
    shares = (codes > 0).any(axis=1).mean(axis=0)  # of texts
    feature = int(np.abs(shares - 0.5).argmin())
    labelled = []
    for number, row in enumerate(rows):
        labels = np.zeros((len(row), 2), np.int8)
        labels[1:, 0] = codes[number, :, feature] > 0
        labels[1:, 1] = rng.random(24) < 0.04
        labelled.append(LabelledTokens(row, labels, number % 2 == 1))
    concepts = {FIRES: False, CHANCE: False}
    return Material(tiny_model, [[row] for row in rows[:20]], twin=tiny_model, labelled=labelled, concepts=concepts)


def test_found_concepts_are_erased_and_steered(
    material: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steering_concepts, "LEAST_AUC", 0.0)
    given = {"any": 1}

    def tables(path: Path | None) -> dict[str, list[dict[str, object]]]:
        found = predictability.ConceptTables(material, {"MFN": material.model}, Journal(path, given), lambda *at: None)
        return found.tables()

    first = tables(tmp_path / "journal")
    (erased,), (steered,) = first["erasure"], first["steered_concepts"]
    assert erased["concept"] == steered["concept"] == FIRES
    assert (steered["layer"], steered["feature"]) == (erased["layer"], erased["feature"])
    assert [row["dose"] for row in first["steering"]] == ["all", "1", "2", "4"]
    assert first["steering"][0]["with_detector"]["value"] == steered["with_detector"]  # type: ignore[index]
    assert [(row["concepts"], row["left_out"]) for row in first["steering"]] == [(1, 0)] * 4
    assert isinstance(steered["stranger"], float)
    with monkeypatch.context() as patched:  # all is in the journal
        patched.setattr(MFNModel, "forward", None)
        patched.setattr(predictability, "TextProbes", lambda *given: None)
        assert tables(tmp_path / "journal") == first
    monkeypatch.setattr(steering_concepts, "LEAST_AUC", 1.01)
    assert tables(None)["steered_concepts"] == []


def test_without_labels_there_is_nothing(tiny_model: MFNModel, material: Material) -> None:
    bare = Material(tiny_model, material.home)
    found = predictability.ConceptTables(bare, {"MFN": tiny_model}, Journal(None, {}), lambda *at: None).tables()
    assert not any(found.values())
