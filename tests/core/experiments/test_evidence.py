"""What experiments make of models: a control without training, and materials that do not go together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mfn_core.errors import ConfigError
from mfn_core.evaluation.journal import Journal
from mfn_core.experiments.evidence import alignment, rates_and_overlap, transfer
from mfn_core.experiments.material import Material
from mfn_core.experiments.stand_ins import CONTROL, random_control
from mfn_core.model import MFNModel

IDS = torch.tensor([[0, 20, 31, 42]])


@pytest.fixture(scope="module")
def home(tiny_model: MFNModel) -> list[list[np.ndarray]]:
    rng = np.random.default_rng(0)
    return [[np.r_[0, rng.integers(1, tiny_model.vocab_size, 24)]] for _ in range(20)]


@torch.no_grad()
def test_a_control_is_untrained_and_reads_without_changing(tiny_model: MFNModel) -> None:
    first, again, other = (random_control(tiny_model, seed) for seed in (0, 0, 1))
    assert {n: (c.n_features, c.k, c.alpha) for n, c in first.mfn_layers.items()} == {0: (48, 6, 0.0), 1: (48, 6, 0.0)}
    assert torch.equal(first(IDS).logits, again(IDS).logits)
    assert not torch.allclose(first(IDS).logits, other(IDS).logits)
    recorded = first(IDS, record=True)
    assert torch.equal(recorded.logits, first(IDS).logits)
    assert int(recorded.traces[1].codes.l0()[0, 1:].min()) > 0  # the first token's embedding is empty


def test_the_control_stands_beside(tiny_bundle: Path, tiny_model: MFNModel, home: list[list[np.ndarray]]) -> None:
    others = [MFNModel.from_pretrained(tiny_bundle) for _ in range(2)]
    material = Material(tiny_model, home, seeds=others, control=True)
    told: list[str] = []
    journal = Journal(None, {})
    first = rates_and_overlap(material, journal, 0, lambda what, share: told.append(what))
    assert set(first.tables["layers"]) == {"MFN", "random", CONTROL}
    assert len(first.conditions) == 2
    third = alignment(material, journal, 0, lambda what, share: None)
    assert {row["source"] for row in third.tables["means"]} == {"MFN", "random codes", CONTROL}
    assert not any(CONTROL in condition.claim for condition in third.conditions)
    told.clear()
    assert rates_and_overlap(material, journal, 0, lambda what, share: told.append(what)) == first  # from the journal
    assert told == []


def test_baselines_of_transfer(tiny_model: MFNModel, home: list[list[np.ndarray]]) -> None:
    given = {"twin": tiny_model, "sae": tiny_model, "tuned_sae": tiny_model, "domains": {"other": home}}
    found = transfer(Material(tiny_model, home, **given), Journal(None, {}), lambda what, share: None)
    for name in ("fine-tuned SAE", "spliced SAE"):  # the MFNs replace the stream already
        assert found.tables[name]["other"]["lost"]["value"] == pytest.approx(0.0, abs=1e-4)
    assert [row["status"] for row in found.tables["baselines"]] == ["measured", "measured"]
    assert found.status == "holds"


def test_models_that_cannot_be_compared(tiny_bundle: Path, tiny_model: MFNModel, home: list[list[np.ndarray]]) -> None:
    other = MFNModel.from_pretrained(tiny_bundle)
    other.set_k(3)
    with pytest.raises(ConfigError, match="the same F and K"):
        Material(tiny_model, home, seeds=[other])
    other.tokenizer = None
    with pytest.raises(ConfigError, match="another tokenizer"):
        Material(tiny_model, home, twin=other)
    with pytest.raises(ConfigError, match="SAEs are needed of all seeds or of none"):
        Material(tiny_model, home, sae=tiny_model, seed_saes=[tiny_model])
