"""Doses side by side are what each is by itself."""

from __future__ import annotations

import math

import pytest

from mfn_core import Intervention, MFNModel, Ramp, Scope
from mfn_core.errors import ConfigError, InterventionError
from mfn_core.steering import at_dose, dose_response, most_dose, predict
from mfn_core.steering.texts import repetition
from mfn_core.writing import Writing, perplexity, write

PROMPT = "The ship left"
TURN = Intervention(1, 7, "set", 4.0, Scope("generation"))


def test_a_sweep_is_one_prediction_a_dose(tiny_model: MFNModel) -> None:
    ids = tiny_model.encode_text(PROMPT)
    found = dose_response(tiny_model, PROMPT, [TURN], [0.5, 3.0, 9.0], tokens=[70, 80])
    for point in found.points:
        alone = predict(tiny_model, ids, at_dose([TURN], point.dose, 0))
        assert point.logprobs == pytest.approx([float(alone.steered_logprobs[t]) for t in (70, 80)], abs=1e-4)
        assert point.kl == pytest.approx(alone.kl, rel=1e-3, abs=1e-6)
        assert point.agreement.spearman == pytest.approx(alone.agreement.spearman, abs=1e-3)
        assert point.written is None
    assert found.plain_logprobs == pytest.approx([float(alone.logprobs[t]) for t in (70, 80)], abs=1e-4)
    assert [point.kl for point in found.points] == sorted(point.kl for point in found.points)


def test_what_is_written_at_a_dose_is_what_is_written_at_it_alone(tiny_model: MFNModel) -> None:
    writing = Writing(tokens=10, temperature=1.0, seed=4)
    found = dose_response(tiny_model, PROMPT, [TURN], [2.0, 40.0], writing=writing, samples=2)
    written = found.points[1].written
    assert written is not None
    expected = write(tiny_model, [PROMPT] * 2, [at_dose([TURN], 40.0, 0)] * 2, writing, seeds=[4, 5])
    assert [list(ids) for ids in written.ids] == expected
    assert written.perplexity == pytest.approx(perplexity(tiny_model, [PROMPT] * 2, expected), rel=1e-4)
    assert found.plain_written is not None
    assert found.plain_written.texts != written.texts


def test_by_default_the_tokens_that_gain_most_are_followed(tiny_model: MFNModel) -> None:
    found = dose_response(tiny_model, PROMPT, [TURN], [20.0])
    ids = tiny_model.encode_text(PROMPT)
    alone = predict(tiny_model, ids, at_dose([TURN], 20.0, 0))
    assert found.tokens == tuple(change.token for change in alone.gained(6))
    assert found.points[0].logprobs[0] > found.plain_logprobs[0]


def test_default_doses_go_to_one_and_a_half_times_the_length_of_the_stream(tiny_model: MFNModel) -> None:
    found = dose_response(tiny_model, PROMPT, [TURN])
    most = most_dose(tiny_model, [TURN], 0, tiny_model.encode_text(PROMPT))
    assert most == pytest.approx(1.5 * math.sqrt(32), rel=1e-3)  # over its rms, a stream has the length √d
    assert [found.points[0].dose, found.points[-1].dose] == [0.0, float(f"{most:.3g}")]
    assert len(found.points) == 9


def test_what_is_swept() -> None:
    turns = (Intervention(0, 1, "set", 2.0), Intervention(1, 2, "ablate"), Intervention(1, 3, "scale", 4.0))
    assert [turn.value for turn in at_dose(turns, 0.5, None)] == [1.0, 0.0, 2.0]
    assert [turn.value for turn in at_dose(turns, 0.5, 2)] == [2.0, 0.0, 0.5]
    ramped = (Intervention(0, 1, "set", 2.0, ramp=Ramp(1.0, 4)),)
    assert at_dose(ramped, 0.5, None) == (Intervention(0, 1, "set", 1.0, ramp=Ramp(0.5, 4)),)


def test_what_cannot_be_swept_is_refused(tiny_model: MFNModel) -> None:
    with pytest.raises(ConfigError, match="nothing to sweep"):
        dose_response(tiny_model, PROMPT, [Intervention(0, 1, "ablate")])
    with pytest.raises(ConfigError, match="intervention 2 cannot be swept"):
        dose_response(tiny_model, PROMPT, [TURN], swept=1)
    with pytest.raises(ConfigError, match="1 to 64 doses"):
        dose_response(tiny_model, PROMPT, [TURN], [])
    with pytest.raises(InterventionError, match="at least 0"):
        dose_response(tiny_model, PROMPT, [TURN], [-1.0])


def test_repetition() -> None:
    assert repetition([1, 2, 3, 4, 5]) == 0.0
    assert repetition([1, 1, 1, 1, 1]) == pytest.approx(2 / 3)
    assert repetition([1, 2]) == 0.0
