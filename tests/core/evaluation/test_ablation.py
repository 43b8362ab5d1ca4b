"""The cost of an ablation is the difference of two forward passes, told apart by where it falls."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from mfn_core.config import MFNConfig, MFNLayerConfig
from mfn_core.errors import MFNError
from mfn_core.evaluation import ablation
from mfn_core.evaluation.ablation import AblationEffect, Ablations
from mfn_core.evaluation.labelled import LabelledTokens
from mfn_core.intervals import Mean, ratio
from mfn_core.interventions import EditBuffers, Intervention
from mfn_core.model import MFNModel
from tests.core.sites import zoo


def texts_of(model: MFNModel, lengths: list[int], seed: int = 1) -> list[LabelledTokens]:
    rng = np.random.default_rng(seed)
    out = []
    for number, length in enumerate(lengths):
        ids = np.concatenate([[0], rng.integers(1, model.vocab_size, length)]).astype(np.int64)
        labels = (rng.random((len(ids), 3)) < 0.4).astype(np.int8)
        labels[:, 0] = -1 if number % 3 == 0 else labels[:, 0]  # nothing is known of it
        labels[:, 2] = number % 2
        out.append(LabelledTokens(ids, labels, True))
    return out


def change(model: MFNModel, text: LabelledTokens, layer: int, feature: int) -> NDArray[np.float64]:
    """[T − 1]: what ablating a feature costs, from two passes over one text alone."""
    ids = torch.from_numpy(text.ids)
    costs = []
    for interventions in ([Intervention(layer, feature, "ablate")], []):
        edits = EditBuffers.allocate(model.n_features, 1)
        edits.write(0, interventions, 0)
        with torch.no_grad():
            logits = model(ids[None], edits=edits).logits[0, :-1]
        costs.append(F.cross_entropy(logits.double(), ids[1:], reduction="none"))
    return (costs[0] - costs[1]).numpy()


def firings(model: MFNModel, texts: list[LabelledTokens], layer: int) -> NDArray[np.int64]:
    """[texts, F]: on how many tokens each feature fires."""
    rows = []
    for text in texts:
        with torch.no_grad():
            codes = model(torch.from_numpy(text.ids)[None], record=True).traces[layer].codes.dense()[0]
        rows.append((codes > 0).sum(0).numpy())
    return np.stack(rows)


@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize("column", [0, 1, 2])
def test_effects_are_those_of_each_text_alone(tiny_model: MFNModel, layer: int, column: int) -> None:
    texts = texts_of(tiny_model, [7, 12, 3, 20, 9, 0])
    counts = firings(tiny_model, texts, layer)
    feature = int(((counts > 0).sum(0) * (counts > 0).sum(0).__lt__(len(texts))).argmax())  # not in every text
    effect = Ablations(tiny_model, texts, [(layer, feature)], batch=2).effect(layer, feature, column)
    total = counts[:-1].sum(0)  # a text of one token is left out
    distance = np.abs(total - total[feature])
    assert effect.control != feature
    assert distance[effect.control] == np.delete(distance, feature).min()
    for own, inside, outside in (
        (feature, effect.inside, effect.outside),
        (effect.control, effect.control_inside, effect.control_outside),
    ):
        changes = [change(tiny_model, text, layer, own) for text in texts]
        labels = [text.labels[:-1, column] for text in texts]
        every, told = np.concatenate(changes), np.concatenate(labels)
        assert inside.value == pytest.approx(every[told == 1].mean(), abs=1e-5)
        assert outside.value == pytest.approx(every[told == 0].mean(), abs=1e-5)
        assert outside.value != 0.0
    sums = [
        np.array([change(tiny_model, text, layer, f)[text.labels[:-1, column] == 1].sum() for text in texts])
        for f in (feature, effect.control)
    ]
    tokens = np.array([(text.labels[:-1, column] == 1).sum() for text in texts], dtype=np.float64)
    assert effect.above_control.value == pytest.approx(effect.inside.value - effect.control_inside.value, abs=1e-6)
    assert effect.above_control.error == pytest.approx(ratio(sums[0] - sums[1], tokens).error, abs=1e-5)
    assert effect.texts == (int((tokens > 0).sum()), 5 - int((tokens > 0).sum()) - (2 if column == 0 else 0))


def test_texts_in_which_a_feature_never_fires_are_not_read_again(
    tiny_model: MFNModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = texts_of(tiny_model, [7, 12, 3, 20, 9])
    counts = firings(tiny_model, texts, 1)
    feature = int(((counts > 0).sum(0) == 2).argmax())
    ablations = Ablations(tiny_model, texts, [(1, feature)], batch=8)
    rows: list[int] = []
    forward = MFNModel.forward

    def counted(self: MFNModel, input_ids: torch.Tensor, **given: object) -> object:
        rows.append(len(input_ids))
        return forward(self, input_ids, **given)  # type: ignore[arg-type]

    monkeypatch.setattr(MFNModel, "forward", counted)
    control = ablations.effect(1, feature, 1).control
    fires = (counts[:, [feature, control]] > 0).sum(0)
    assert fires[0] == 2
    assert rows[-1] == fires.sum(), "both features' texts in one pass"
    rows.clear()
    ablations.effect(1, feature, 2)
    assert rows == [fires.sum()], "the stream before the layer is there already"


def test_so_many_texts_are_drawn_and_stand_for_all(tiny_model: MFNModel, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = texts_of(tiny_model, [9] * 60)
    feature = int((firings(tiny_model, texts, 1) > 0).sum(0).argmax())
    ablations = Ablations(tiny_model, texts, [(1, feature)])
    whole = ablations.effect(1, feature, 2)
    monkeypatch.setattr(ablation, "MOST_TEXTS", 12)
    drawn = [Ablations(tiny_model, texts, [(1, feature)], seed=seed).effect(1, feature, 2) for seed in range(40)]
    assert whole.texts == (30, 30)
    assert {effect.texts for effect in drawn} == {(12, 12)}
    again = ablations.effect(1, feature, 2)
    assert again.inside == pytest.approx(drawn[0].inside, abs=1e-6), "which ones, follows from the seed"
    for side in ("inside", "outside", "above_control"):
        means = np.array([getattr(effect, side) for effect in drawn])
        assert means[:, 0].std() > 0
        near = np.abs(means[:, 0] - getattr(whole, side).value) < 3 * means[:, 1]
        assert near.mean() > 0.9, side


def test_no_detector_is_a_control_unless_there_is_no_other(tiny_model: MFNModel) -> None:
    texts = texts_of(tiny_model, [9] * 8)
    counts = firings(tiny_model, texts, 1).sum(0)
    nearest = np.argsort(np.abs(counts - counts[7]), kind="stable")
    nearest = nearest[nearest != 7]
    taken = [(1, 7), (1, int(nearest[0])), (1, int(nearest[1]))]
    effect = Ablations(tiny_model, texts, taken).effect(1, 7, 1)
    assert effect.control not in {feature for _, feature in taken}
    every = [(1, feature) for feature in range(48)]
    assert Ablations(tiny_model, texts, every).effect(1, 7, 1).control != 7
    alone = zoo.equipped("llama", MFNConfig({1: MFNLayerConfig(1, 1)}))
    with pytest.raises(MFNError, match="one feature"):
        Ablations(alone, texts_of(alone, [4, 4]), [(1, 0)]).effect(1, 0, 1)


def test_what_it_should_change_is_more_inside_and_more_than_the_control() -> None:
    def effect(inside: Mean, above: Mean, spread: float = 0.01) -> AblationEffect:
        return AblationEffect(inside, Mean(0.0, spread), 3, Mean(0.0, 0.1), Mean(0.0, 0.1), above, (5, 6))

    strong, weak = Mean(0.3, 0.1), Mean(0.15, 0.1)
    assert effect(strong, strong).specific
    assert effect(strong, strong).changes
    assert not effect(weak, strong).specific
    assert not effect(weak, strong).changes
    assert effect(strong, weak).specific
    assert not effect(strong, weak).changes
    assert not effect(Mean(-0.3, 0.01), strong).specific
    assert not effect(strong, strong, spread=float("inf")).specific
    for one in (effect(strong, weak), effect(strong, weak, spread=float("inf"))):
        assert AblationEffect.from_json(one.to_json()) == one
