"""The search finds a feature that was made to write something, says what fails, and goes on where it was stopped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mfn_core.errors import ConfigError
from mfn_core.evaluation.journal import Journal
from mfn_core.evaluation.steer_search import candidates as candidates_module
from mfn_core.evaluation.steer_search import choosing as choosing_module
from mfn_core.evaluation.steer_search import search as search_module
from mfn_core.evaluation.steer_search.candidates import MOST_TURNS, STARTS, Suspect, first, near
from mfn_core.evaluation.steer_search.choosing import STRANGE, Choice, Chooser, Trial
from mfn_core.evaluation.steer_search.goals import (
    Finding,
    Goal,
    Turns,
    effect_from_json,
    effect_to_json,
    turns_from_json,
    turns_to_json,
    works,
)
from mfn_core.evaluation.steer_search.own_tokens import promoted
from mfn_core.evaluation.steer_search.reading import ENOUGH, FEWEST, PIECE, cut, read
from mfn_core.evaluation.steer_search.search import Order, Search, settings
from mfn_core.evaluation.steering import SteerEffect
from mfn_core.intervals import Share
from mfn_core.interventions import Intervention, Scope
from mfn_core.model import MFNModel
from mfn_core.text_tests import TextTest
from mfn_core.writing import Writing
from tests.conftest import TINY_TEXTS

LAYER, PLANTED = 1, 7
GOALS = [
    Goal("planted/z", "Write z", "", TextTest(pattern="z{6,}")),
    Goal("never", "Nothing", "", TextTest(pattern="(?!)")),
    Goal("always", "Anything", "", TextTest(pattern="")),
]
ORDER = Order(
    GOALS,
    TINY_TEXTS,
    ["Mix the", "A doctor", "The door", "He"],
    ["The ship left", "Snow", "Take two", "Nobody", "She said", "The note", "All night", "The road", "An hour", "Eggs"],
    tokens=10,
)


@pytest.fixture(scope="module")
def planted(tiny_bundle: Path) -> MFNModel:
    """A feature of the last layer whose direction is that of the letter z."""
    model = MFNModel.from_pretrained(tiny_bundle)
    (token,) = model.encode_text("z")[1:]
    lens = model.family.lens(model.base)
    layer = model.mfn_layers[LAYER]
    with torch.no_grad():
        direction = lens[token] - lens.mean(0)
        layer.W_dec[PLANTED] = direction / direction.norm()
    return model


@pytest.fixture(scope="module")
def indifferent(tiny_bundle: Path) -> MFNModel:
    """A judge to whom all texts are equally strange."""
    model = MFNModel.from_pretrained(tiny_bundle)
    with torch.no_grad():
        model.base.get_input_embeddings().weight.zero_()
    return model


def run(model: MFNModel, judge: MFNModel, folder: Path, order: Order = ORDER) -> list[Finding]:
    return Search(model, judge, order, Journal(folder / "search.jsonl", settings(model, judge, order))).run()


def test_a_planted_feature_is_found(planted: MFNModel, indifferent: MFNModel, tmp_path: Path) -> None:
    z, never, always = run(planted, indifferent, tmp_path)
    assert (LAYER, PLANTED) in {(turn.layer, turn.feature) for turn in z.turns}
    assert z.passes
    assert z.greedy is not None
    assert z.greedy.steered.value == 1
    assert z.prompt in ORDER.choice_prompts
    assert not never.passes
    assert never.turns == ()
    assert always.loose
    assert not always.passes


def test_what_reads_too_strange_does_not_work(planted: MFNModel, tmp_path: Path) -> None:
    z = run(planted, planted, tmp_path)[0]  # to itself, unsteered, a row of z is stranger than what it writes
    assert not z.passes


def test_a_search_goes_on_where_it_was_stopped(
    planted: MFNModel, indifferent: MFNModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("whole", "stopped"):
        (tmp_path / folder).mkdir()
    whole = run(planted, indifferent, tmp_path / "whole")
    steps = 0

    def stop(what: str, share: float) -> None:
        nonlocal steps
        steps += what.startswith(("turning", "choosing", "scoring"))
        if steps == 3:
            raise KeyboardInterrupt

    journal = tmp_path / "stopped" / "search.jsonl"
    with pytest.raises(KeyboardInterrupt):
        Search(planted, indifferent, ORDER, Journal(journal, settings(planted, indifferent, ORDER)), stop).run()
    with journal.open("a") as out:
        out.write('{"key": "choose/pl')  # as a process that was killed while writing leaves it
    assert run(planted, indifferent, tmp_path / "stopped") == whole
    monkeypatch.setattr(search_module, "write", None)  # a search that is done writes no text
    assert run(planted, indifferent, tmp_path / "stopped") == whole


def test_a_journal_is_of_one_search(planted: MFNModel, indifferent: MFNModel, tmp_path: Path) -> None:
    journal = Journal(tmp_path / "search.jsonl", settings(planted, indifferent, ORDER))
    assert journal.once("x", lambda: [1, 2.5]) == [1, 2.5]
    other = settings(planted, indifferent, replace(ORDER, seed=1))
    with pytest.raises(ConfigError, match="seed"):
        Journal(tmp_path / "search.jsonl", other)
    # One that an earlier version kept has pieces of another shape.
    with pytest.raises(ConfigError, match="journal"):
        Journal(tmp_path / "search.jsonl", {**settings(planted, indifferent, ORDER), "journal": 1})
    again = Journal(tmp_path / "search.jsonl", settings(planted, indifferent, ORDER))
    assert "x" in again
    assert again.once("x", lambda: pytest.fail("computed anew")) == [1, 2.5]


def test_pieces_hold_the_text_and_what_tests_say_of_them(tiny_model: MFNModel) -> None:
    tests = [TextTest(pattern="harbour"), TextTest(script="cjk")]
    pieces = cut(tiny_model, TINY_TEXTS, tests, 1000)
    assert max(map(len, pieces.ids)) == PIECE
    decode = tiny_model.required_tokenizer.decode
    for ids, on in zip(pieces.ids, pieces.on.tolist(), strict=True):
        assert on == [test.holds(decode(ids)) for test in tests]
    many = [TINY_TEXTS[5]] * (ENOUGH + 10)
    few = cut(tiny_model, many, tests, 3)
    assert int(few.on[:, 0].sum()) == ENOUGH  # what is rare stays, whatever else is left out
    assert len(few.ids) < len(cut(tiny_model, many, tests, 1000).ids)


def test_habits_are_those_of_the_codes(tiny_model: MFNModel) -> None:
    pieces = cut(tiny_model, TINY_TEXTS, [TextTest(pattern="harbour")], 1000)
    habits = read(tiny_model, pieces)
    tokens = sum(map(len, pieces.ids))
    for layer in tiny_model.coders:
        strengths: dict[int, list[float]] = {}
        for ids in pieces.ids:
            codes = tiny_model.codes([0, *ids])[layer]
            for feature, value in zip(codes.indices[1:].flatten(), codes.values[1:].flatten(), strict=True):
                if value > 0:
                    strengths.setdefault(int(feature), []).append(float(value))
        found = habits[layer]
        assert found.live == sorted(feature for feature, values in strengths.items() if len(values) >= FEWEST)
        for feature in found.live:
            values = sorted(strengths[feature])
            assert float(found.rate[feature]) == pytest.approx(len(values) / tokens)
            expected = next(v for n, v in enumerate(values, 1) if n >= 0.95 * len(values) - 1e-6)
            assert float(found.high[feature]) == pytest.approx(expected, rel=0.03)
        feature = found.live[0]
        alike = found.alike(feature, 5)
        apart = {f: abs(torch.log(found.rate[f] / found.rate[feature]).item()) for f in found.live if f != feature}
        assert max(apart[f] for f in alike) <= min(a for f, a in apart.items() if f not in alike) + 1e-6


def test_the_feature_of_a_concept_ranks_first(tiny_bundle: Path) -> None:
    model = MFNModel.from_pretrained(tiny_bundle)
    layer = model.mfn_layers[0]
    texts = [*["zzzz zzzz zzzz"] * 20, *TINY_TEXTS * 5]
    with torch.no_grad():  # fires where the letter z is read
        trace = model(torch.tensor([model.encode_text("zz")]), record=True).traces[0]
        layer.W_enc[5] = 3 * torch.nn.functional.normalize(trace.x[0, -1] - layer.b_dec, dim=-1)
    habits = read(model, cut(model, texts, [TextTest(pattern="zzz"), TextTest(pattern="(?!)")], 1000))
    assert int(habits[0].score[0].argmax()) == 5
    assert not habits[0].score[1].any()


def test_own_tokens_are_those_raised(planted: MFNModel) -> None:
    own = promoted(planted, {LAYER: [3, PLANTED], 0: []})
    assert "z" in own[LAYER, PLANTED]
    assert own.keys() == {(LAYER, 3), (LAYER, PLANTED)}


def test_candidates_are_single_features_and_several_together() -> None:
    pool = [
        Suspect(layer, n, 2.0, score, degree)
        for layer in range(3)
        for n, score, degree in ((1, 5.0, 0.0), (2, 1.0, 0.5))
    ]
    found = first(pool)
    assert {len(turns) for turns in found} >= {1, 2, 3}
    assert any({turn.layer for turn in turns} == {0, 1, 2} for turns in found)
    assert len({frozenset(turns) for turns in found}) == len(found)
    assert first([]) == []
    for turns in found:
        for other in near(turns, pool):
            assert 1 <= len(other) <= MOST_TURNS
            assert other != turns
            assert len({(turn.layer, turn.feature) for turn in other}) == len(other)


class Formula(Chooser):
    """All texts pass; how strange they are is what a formula says."""

    def __init__(self, strange: Callable[[Intervention], float]) -> None:
        super().__init__(*[None] * 2, ["one", "two"], {}, Writing(), Writing())  # type: ignore[arg-type]
        self._strange = strange

    def _tried(self, goal: Goal, candidates: Sequence[Turns], writing: Writing, n: int) -> list[Trial]:
        return [Trial(turns, (True,) * n, 1.0, self._strange(turns[0])) for turns in candidates]

    def chosen(self) -> Choice:
        found = self.choose(GOALS[0], [Suspect(1, 7, 2.0, 0.0, 0.5)])
        assert found is not None
        return found


def test_what_is_too_strange_is_turned_less(monkeypatch: pytest.MonkeyPatch) -> None:
    strength = Formula(lambda turn: turn.value)
    (weaker,) = strength.chosen().turns
    assert weaker.value < STRANGE
    monkeypatch.setattr(choosing_module, "EASED", ())
    before = strength.chosen()
    assert before.strange > STRANGE
    assert before.turns == (replace(weaker, value=before.strange),)


def test_what_grows_strange_is_left_to_the_model_after_a_start(monkeypatch: pytest.MonkeyPatch) -> None:
    length = Formula(lambda turn: 0.3 * (turn.scope.stop or 40))
    (short,) = length.chosen().turns
    assert short.scope == Scope("generation", stop=STARTS[0])
    monkeypatch.setattr(candidates_module, "STARTS", ())
    monkeypatch.setattr(choosing_module, "STARTS", ())
    assert length.chosen().turns[0].scope == Scope("generation")


def test_what_works_is_said_by_four_bounds() -> None:
    good = SteerEffect("x", Share(30, 50), Share(0, 50), Share(2, 50), 20.0, 10.0)
    assert works(good)
    assert not works(replace(good, steered=Share(24, 50)))
    assert not works(replace(good, control=Share(7, 50)))
    assert not works(replace(good, perplexity=20.1))
    found = Finding(GOALS[0], Share(0, 50), greedy=good, sampled=good)
    assert found.passes
    assert not replace(found, sampled=None).passes
    assert not replace(found, plain=Share(3, 50)).passes
    assert effect_from_json(effect_to_json(good)) == good
    turns = turns_from_json([[1, 2, 3.5, None], [0, 4, 1.0, 8]])
    assert [turn.scope.stop for turn in turns] == [None, 8]
    assert turns_from_json(turns_to_json(turns)) == turns
