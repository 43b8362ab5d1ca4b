"""Interventions that change while a text is written, runs that are had again, and features that are watched."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mfn_core import Condition, EditBuffers, Intervention, MFNConfig, MFNModel, Ramp, Scope
from mfn_core.baselines import NeuronConfig
from mfn_core.errors import ConfigError, InterventionError
from mfn_core.generation import (
    Change,
    Engine,
    Event,
    GenerationRequest,
    Sampling,
    SlotEngine,
    TokenEvent,
    Updated,
    Watched,
    stream,
)
from mfn_core.generation.request import MAX_CHANGES, MAX_REPORTED

STRONG = Intervention(layer=1, feature=7, mode="set", value=9.0)
LENGTH = 10


@pytest.fixture(scope="module")
def engine(tiny_model: MFNModel) -> Engine:
    return SlotEngine(tiny_model)


def request(model: MFNModel, **options: object) -> GenerationRequest:
    asked = {"max_new_tokens": LENGTH, "alternatives": 3, "fired": 4, **options}
    return GenerationRequest(tuple(model.encode_text("The ship left")), **asked)  # type: ignore[arg-type]


def said(events: list[Event]) -> list[Event]:
    """All that came but the seconds, the name of the request left out."""
    return [replace(event, request="") for event in events if isinstance(event, TokenEvent | Updated)]


def live(engine: Engine, asked: GenerationRequest, changes: dict[int, tuple[Intervention, ...]]) -> list[Event]:
    """A run whose interventions are changed from outside, before the tokens of these numbers."""
    engine.submit(asked)
    events: list[Event] = []
    for step in range(LENGTH):
        if step in changes:
            engine.update(asked.id, changes[step])
        while engine.busy and not any(isinstance(e, TokenEvent) and e.step == step for e in events):
            events += engine.step()
    while engine.busy:
        events += engine.step()
    return events


turned = st.lists(
    st.builds(
        Intervention,
        layer=st.integers(0, 1),
        feature=st.integers(0, 47),
        mode=st.sampled_from(["set", "add"]),
        value=st.floats(0, 20, width=32),
        scope=st.sampled_from([Scope(), Scope("generation"), Scope("generation", 3), Scope("range", 2, 9)]),
        condition=st.none() | st.builds(Condition, st.integers(0, 47), st.floats(0, 1), st.sampled_from([None, 0])),
        ramp=st.none() | st.builds(Ramp, st.floats(0, 20, width=32), st.integers(1, 6)),
    ),
    max_size=3,
).map(tuple)


@settings(max_examples=20, deadline=None)
@given(
    first=turned,
    changes=st.dictionaries(st.integers(0, LENGTH - 1), turned, max_size=3),
    temperature=st.sampled_from([0.0, 1.0]),
)
def test_a_run_is_had_again_from_what_it_said(
    tiny_model: MFNModel,
    engine: Engine,
    first: tuple[Intervention, ...],
    changes: dict[int, tuple[Intervention, ...]],
    temperature: float,
) -> None:
    asked = request(tiny_model, interventions=first, sampling=Sampling(temperature, seed=3))
    events = live(engine, asked, changes)
    log = tuple(Change(event.step, event.interventions) for event in events if isinstance(event, Updated))
    steered = [event for event in events if isinstance(event, TokenEvent) and event.stream == "steered"]
    assert {change.step: change.interventions for change in log} == {
        step: interventions for step, interventions in changes.items() if step < len(steered)
    }
    again = list(stream(engine, replace(asked, changes=log, id="again")))
    assert said(again) == said(events)


def test_a_change_is_told_before_the_first_token_that_sees_it(tiny_model: MFNModel, engine: Engine) -> None:
    asked = request(tiny_model, changes=(Change(2, (STRONG,)), Change(4, ())), watch=((1, 7),))
    events = [
        event for event in stream(engine, asked) if not isinstance(event, TokenEvent) or event.stream == "steered"
    ]
    place = events.index(Updated(asked.id, 2, (STRONG,)))
    assert [event.step for event in events[:place] if isinstance(event, TokenEvent)] == [0, 1]
    held = [event.watched[0].value == 9.0 for event in events if isinstance(event, TokenEvent)]
    assert held == [False, False, True, True] + [False] * (LENGTH - 4)


def test_who_changes_a_run_takes_it_over(tiny_model: MFNModel, engine: Engine) -> None:
    asked = request(tiny_model, changes=(Change(1, (STRONG,)), Change(5, (STRONG,))))
    events = live(engine, asked, {3: ()})
    assert [(event.step, event.interventions) for event in events if isinstance(event, Updated)] == [
        (1, (STRONG,)),
        (3, ()),
    ]


def test_a_prompt_is_read_to_its_end_as_it_was_begun(tiny_model: MFNModel) -> None:
    engine = SlotEngine(tiny_model, piece=2)
    asked = request(tiny_model, interventions=(Intervention(0, 3, "set", 5.0),))
    engine.submit(asked)
    assert engine.step() == []  # a piece of the prompt is read
    engine.update(asked.id, (STRONG,))
    events: list[Event] = []
    while engine.busy:
        events += engine.step()
    assert [event for event in events if isinstance(event, Updated)] == [Updated(asked.id, 1, (STRONG,))]
    again = list(stream(engine, replace(asked, changes=(Change(1, (STRONG,)),), id="again")))
    assert said(again) == said(events)


def test_a_ramp_counts_from_its_scope_whenever_it_was_asked_for(tiny_model: MFNModel, engine: Engine) -> None:
    """Sent again with another slider moved, it goes on; to begin in the middle, its scope says where."""
    ramped = Intervention(1, 7, "set", 9.0, ramp=Ramp(1.0, 4))
    other = Intervention(0, 3, "add", 0.0)
    later = Intervention(1, 7, "set", 9.0, Scope("generation", 6), ramp=Ramp(1.0, 4))
    asked = request(tiny_model, interventions=(ramped,), watch=((1, 7),))
    events = live(engine, asked, {2: (ramped, other), 5: (later,)})
    steered = [event for event in events if isinstance(event, TokenEvent) and event.stream == "steered"]
    values = [event.watched[0].value for event in steered]
    assert values[:5] == [1.0, 3.0, 5.0, 7.0, 9.0]
    assert values[5] == steered[5].watched[0].untouched
    assert values[6:] == [1.0, 3.0, 5.0, 7.0]


def test_watched_values_are_those_of_the_model(tiny_model: MFNModel, engine: Engine) -> None:
    """Weak and silent features too, before and after what is done to them, held against one plain forward pass."""
    watch = tuple((layer, feature) for feature in range(7, 37) for layer in (1, 0))
    asked = request(tiny_model, interventions=(STRONG, Intervention(1, 20, "add", 0.5)), watch=watch, fired=0)
    events = list(stream(engine, asked))
    for name in ("plain", "steered"):
        rows = [event for event in events if isinstance(event, TokenEvent) and event.stream == name]
        ids = torch.tensor([[*asked.prompt, *(event.token for event in rows[:-1])]])
        edits = EditBuffers.allocate(tiny_model.n_features, rows=1)
        edits.write(0, asked.interventions if name == "steered" else (), len(asked.prompt))
        with torch.inference_mode():
            traces = tiny_model(ids, edits=edits, record=True).traces
        after, before = ({k: codes(t).dense()[0].tolist() for k, t in traces.items()} for codes in (CODES, RAW))
        for place, event in enumerate(rows, start=len(asked.prompt) - 1):
            assert [(w.layer, w.feature) for w in event.watched] == list(watch)
            for seen in event.watched:
                assert seen.value == pytest.approx(after[seen.layer][place][seen.feature], abs=1e-4)
                assert seen.untouched == pytest.approx(before[seen.layer][place][seen.feature], abs=1e-4)
        values = [seen.value for event in rows for seen in event.watched]
        assert any(values)
        assert not all(values)


CODES, RAW = (lambda trace: trace.codes), (lambda trace: trace.raw_codes)


def test_a_neuron_is_watched_whether_or_not_a_record_keeps_it(tiny_model: MFNModel) -> None:
    base = copy.deepcopy(tiny_model.base)
    width = base.config.intermediate_size
    bare = type(base)(base.config)
    bare.load_state_dict({name: t for name, t in base.state_dict().items() if ".mfn." not in name})
    seen: list[torch.Tensor] = []
    model = MFNModel.equip(bare.eval(), MFNConfig({1: NeuronConfig(width, k=2)}), tiny_model.tokenizer).eval()
    bare.model.layers[1].mlp.down_proj.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    down = Intervention(1, 5, "add", -0.25)
    watch = tuple((1, n) for n in range(width))
    asked = request(model, interventions=(down,), watch=watch, max_new_tokens=3, compare=False)
    engine = SlotEngine(model)
    seen.clear()  # what it tried out
    steered = [event for event in stream(engine, asked) if isinstance(event, TokenEvent)]
    for event, after in zip(steered, seen, strict=True):
        here = 0 if event.step else len(asked.prompt) - 1  # the prompt is filled up behind its end
        assert [w.value for w in event.watched] == after[0, here].tolist()
        changed = [w.feature for w in event.watched if w.value != w.untouched]
        assert changed == [5]
        assert event.watched[5] == Watched(1, 5, event.watched[5].value, pytest.approx(event.watched[5].value + 0.25))


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"changes": (Change(3, ()), Change(3, ()))}, ConfigError),
        ({"changes": (Change(-1, ()),)}, ConfigError),
        ({"changes": tuple(Change(n, ()) for n in range(MAX_CHANGES + 1))}, ConfigError),
        ({"changes": (Change(1, (Intervention(1, 48, "ablate"),)),)}, InterventionError),
        ({"watch": ((0, 1),) * (MAX_REPORTED + 1)}, ConfigError),
        ({"watch": ((0, 48),)}, InterventionError),
        ({"watch": ((5, 1),)}, InterventionError),
    ],
)
def test_what_is_not_there_is_refused_before_anything_runs(
    tiny_model: MFNModel, engine: Engine, options: dict[str, object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        engine.submit(request(tiny_model, **options))
    assert not engine.busy
