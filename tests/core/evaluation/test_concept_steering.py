"""A feature whose direction writes a token brings that token into texts; one that writes nothing changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from mfn_core.evaluation import concept_steering
from mfn_core.evaluation.concept_steering import (
    DOSES,
    PROMPTS,
    TOKENS,
    ConceptSteering,
    Detecting,
    SteeringSuccess,
    Written,
    peaks,
    share_of,
    stranger,
)
from mfn_core.evaluation.labelled import LabelledTokens
from mfn_core.evaluation.text_probes import TextProbe
from mfn_core.interventions import Intervention
from mfn_core.model import MFNModel
from mfn_core.writing import Writing, perplexity, write

Turns = Sequence[tuple[Intervention, ...]]
TOKEN, WRITES, ALSO, NOTHING = 100, 5, 6, 7  # a token, and features of the last layer


@pytest.fixture(scope="module")
def planted(tiny_bundle: Path) -> MFNModel:
    """A model of which two features write one token, and one nothing at all; none of them fires by itself."""
    model = MFNModel.from_pretrained(tiny_bundle)
    layer = model.mfn_layers[1]
    with torch.no_grad():
        token = model.base.get_output_embeddings().weight[TOKEN]  # type: ignore[operator]
        layer.W_dec[[WRITES, ALSO]] = torch.nn.functional.normalize(token, dim=0)
        layer.W_dec[NOTHING] = 0.0
        layer.b_enc[[WRITES, ALSO, NOTHING]] = -1e4  # they fire where they are told to, and nowhere else
    return model


def probe(token: int) -> TextProbe:
    weights = np.zeros(300)
    weights[token] = 1.0
    return TextProbe(weights, 0.5, 1.0)


def test_what_is_written_is_counted(planted: MFNModel, tiny_model: MFNModel) -> None:
    found = ConceptSteering(planted, tiny_model).success(Detecting(1, WRITES, NOTHING, 50.0), probe(TOKEN))
    plain = write(planted, PROMPTS, [()] * len(PROMPTS), Writing(tokens=TOKENS))
    assert list(found.plain.has) == [TOKEN in text for text in plain]
    assert found.plain.nats == pytest.approx(np.log(perplexity(tiny_model, PROMPTS, plain)), rel=1e-4)
    assert share_of([found.plain]) < 0.3
    for dose, written in zip(DOSES, found.steered, strict=True):
        turned = (Intervention(1, WRITES, "set", 50.0 * dose),)
        texts = write(planted, PROMPTS, [turned] * len(PROMPTS), Writing(tokens=TOKENS))
        assert list(written.has) == [TOKEN in text for text in texts]
        assert written.nats == pytest.approx(np.log(perplexity(tiny_model, PROMPTS, texts)), rel=1e-4)
    assert share_of(found.steered) > 0.9
    assert found.steers
    assert SteeringSuccess.from_json(found.to_json()) == found


def test_doses_are_multiples_of_the_peak(planted: MFNModel, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[tuple[str, tuple[Intervention, ...]]] = []

    def noted(model: MFNModel, prompts: Sequence[str], turns: Turns, how: Writing) -> list[list[int]]:
        given.extend(zip(prompts, turns, strict=True))
        return [[1]] * len(prompts)

    monkeypatch.setattr(concept_steering, "write", noted)
    ConceptSteering(planted, None).success(Detecting(1, WRITES, NOTHING, 2.5), probe(TOKEN))
    turned = [Intervention(1, feature, "set", value) for feature in (WRITES, NOTHING) for value in (2.5, 5.0, 10.0)]
    expected = [(), *[(turn,) for turn in turned]]
    assert given == [(prompt, turn) for turn in expected for prompt in PROMPTS]


def test_a_feature_that_writes_nothing_does_not_steer(planted: MFNModel) -> None:
    found = ConceptSteering(planted, None).success(Detecting(1, NOTHING, WRITES, 50.0), probe(TOKEN))
    assert all(written.has == found.plain.has for written in found.steered)
    assert found.above_plain.value == 0.0
    assert found.above_control.value < -0.7  # the other feature is set to the same values
    assert not found.steers
    assert found.plain.nats is None
    assert stranger(found.steered, found.plain) is None


def test_who_does_no_more_than_another_feature_does_not_steer(planted: MFNModel) -> None:
    found = ConceptSteering(planted, None).success(Detecting(1, WRITES, ALSO, 50.0), probe(TOKEN))
    assert found.above_plain.positive
    assert found.above_control.value == 0.0
    assert not found.steers


def test_shares_are_over_doses_and_prompts() -> None:
    yes, no = [True] * 8, [False] * 8
    found = SteeringSuccess(
        0.95, Written([True, *no[1:]], 2.0), [Written(yes, 3.0), Written(no, 4.0)], [Written(no, None)] * 2
    )
    assert (share_of(found.steered), share_of(found.control)) == (0.5, 0.0)
    assert found.above_control.value == 0.5
    assert found.above_plain.value == pytest.approx(0.5 - 1 / 8)
    assert found.steers
    assert stranger(found.steered, found.plain) == pytest.approx(np.exp(1.5))
    assert stranger(found.control, found.plain) is None


@torch.no_grad()
def test_peaks_are_the_greatest_strengths(tiny_model: MFNModel) -> None:
    rng = np.random.default_rng(1)
    rows = [np.r_[0, rng.integers(1, 300, length)].astype(np.int64) for length in (5, 9, 3, 12)]
    texts = [LabelledTokens(row, np.zeros((len(row), 1), np.int8), False) for row in rows]
    features = [(0, 3), (1, 3), (1, 20)]
    traces = [tiny_model(torch.from_numpy(row)[None], record=True).traces for row in rows]
    expected = [max(float(trace[n].codes.dense()[0, 1:, f].max()) for trace in traces) for n, f in features]
    assert max(expected) > 0
    assert peaks(tiny_model, texts, features, batch=2) == pytest.approx(expected, abs=1e-5)
