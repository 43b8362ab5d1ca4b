"""The engine against `generate`, against itself in other company, and under interventions."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
import torch

from mfn_core import EditBuffers, Intervention, MFNConfig, MFNLayerConfig, MFNModel, Scope
from mfn_core.errors import ConfigError, InterventionError
from mfn_core.generation import (
    Done,
    Ended,
    Engine,
    GenerationRequest,
    PromptTooLongError,
    Sampling,
    SlotEngine,
    UnknownRequestError,
    stream,
)

from .conversation import assert_same_greedy, content, done, said, tokens

PROMPTS = ["The hospital was", "", " ", "東京都", "def area(", "Snow fell on the hills, on the road"]
STRONG = Intervention(layer=1, feature=7, mode="set", value=9.0)


@pytest.fixture(scope="module")
def engine(tiny_model: MFNModel) -> SlotEngine:
    return SlotEngine(tiny_model)


def request(model: MFNModel, text: str = "The ship", **options: object) -> GenerationRequest:
    return GenerationRequest(prompt=tuple(model.encode_text(text)), **options)  # type: ignore[arg-type]


def test_is_an_engine(engine: SlotEngine) -> None:
    typed: Engine = engine
    assert (typed.capacity, typed.busy, typed.context) == (1, False, 96)


@pytest.mark.parametrize("prompt", PROMPTS)
def test_greedy_text_is_that_of_generate(tiny_model: MFNModel, engine: SlotEngine, prompt: str) -> None:
    asked = request(tiny_model, prompt, max_new_tokens=40)
    inputs = torch.tensor([asked.prompt])
    out = tiny_model.base.generate(inputs, attention_mask=torch.ones_like(inputs), do_sample=False, max_new_tokens=40)
    events = list(stream(engine, asked))
    for name in ("plain", "steered"):
        ours = [event.token for event in tokens(events, name)]
        assert_same_greedy(tiny_model, asked.prompt, ours, out[0, len(asked.prompt) :].tolist())


def test_steered_greedy_text_is_that_of_the_model(tiny_model: MFNModel, engine: SlotEngine) -> None:
    scoped = Intervention(layer=0, feature=3, mode="add", value=4.0, scope=Scope("generation"))
    expected = tiny_model.generate("The ship left", [STRONG, scoped], max_new_tokens=30)
    asked = request(tiny_model, "The ship left", max_new_tokens=30, interventions=(STRONG, scoped))
    events = list(stream(engine, asked))
    assert done(events, "steered").text == expected
    assert done(events, "plain").text == tiny_model.generate("The ship left", max_new_tokens=30)


def test_shared_pretrained_model_writes_the_same_as_generate() -> None:
    shared = Path(os.environ.get("MFN_SHARED", Path(__file__).parents[4] / "shared"))
    folder = shared / "models" / "stories260K"
    if not folder.is_dir():
        pytest.skip("the pretrained model is not part of the repository")
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    torch.manual_seed(3)
    config = MFNConfig.uniform(len(base.model.layers), MFNLayerConfig(n_features=128, k=16, alpha=0.2))
    model = MFNModel.equip(base, config, AutoTokenizer.from_pretrained(folder)).eval()
    asked = request(model, "Once upon a time", max_new_tokens=60)
    inputs = torch.tensor([asked.prompt])
    out = model.base.generate(inputs, attention_mask=torch.ones_like(inputs), do_sample=False, max_new_tokens=60)
    ours = [event.token for event in tokens(list(stream(SlotEngine(model), asked)), "steered")]
    assert_same_greedy(model, asked.prompt, ours, out[0, len(asked.prompt) :].tolist())


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(temperature=1.0, top_k=50, top_p=0.9, seed=4)])
@pytest.mark.parametrize("length", [1, 2, 7, 40])
def test_twins_without_interventions_are_equal_to_the_bit(
    tiny_model: MFNModel, engine: SlotEngine, sampling: Sampling, length: int
) -> None:
    prompt = tuple(random.Random(length).choices(range(tiny_model.vocab_size), k=length))
    asked = GenerationRequest(prompt, max_new_tokens=30, sampling=sampling, alternatives=5, fired=5)
    events = list(stream(engine, asked))
    assert said(events, "plain") == said(events, "steered")
    assert {event.kl for event in tokens(events, "steered")} == {0.0}
    assert {event.kl for event in tokens(events, "plain")} == {None}
    assert [event.plain_logprob for event in tokens(events, "steered")] == [
        event.logprob for event in tokens(events, "plain")
    ]
    assert {event.shifts for event in tokens(events, "steered")} == {()}


def test_compare_leaves_the_steered_stream_as_it_is(tiny_model: MFNModel, engine: SlotEngine) -> None:
    both, alone = (
        list(stream(engine, request(tiny_model, interventions=(STRONG,), max_new_tokens=20, fired=3, compare=compare)))
        for compare in (True, False)
    )
    assert said(alone, "steered") == said(both, "steered")
    assert {event.kl for event in tokens(alone, "steered")} == {None}
    assert not tokens(alone, "plain")
    assert [type(event) for event in alone[-2:]] == [Done, Ended]


def test_a_clamp_reads_back_at_every_step(tiny_model: MFNModel, engine: SlotEngine) -> None:
    events = list(stream(engine, request(tiny_model, interventions=(STRONG,), max_new_tokens=20, fired=64)))
    for event in tokens(events, "steered"):
        assert [f.value for f in event.fired if (f.layer, f.feature) == (1, 7)] == [9.0]
    values = [f.value for event in tokens(events, "plain") for f in event.fired if (f.layer, f.feature) == (1, 7)]
    assert 9.0 not in values


def test_reported_numbers_are_those_of_the_model(tiny_model: MFNModel, engine: SlotEngine) -> None:
    asked = request(tiny_model, "She said", interventions=(STRONG,), max_new_tokens=8, alternatives=4, fired=5)
    events = list(stream(engine, asked))
    plain, steered = tokens(events, "plain"), tokens(events, "steered")
    apart = next((n for n, (a, b) in enumerate(zip(plain, steered, strict=False)) if a.token != b.token), len(plain))
    assert [event.kl is not None for event in steered] == [n <= apart for n in range(len(steered))]
    for rows in (plain, steered):
        ids = torch.tensor([[*asked.prompt, *(event.token for event in rows[:-1])]])
        edits = None
        if rows is steered:
            edits = EditBuffers.allocate(tiny_model.n_features, rows=1)
            edits.write(0, [STRONG], len(asked.prompt))
        with torch.inference_mode():
            out = tiny_model(ids, edits=edits, record=True)
        logprobs = out.logits[0, len(asked.prompt) - 1 :].log_softmax(-1)
        for n, event in enumerate(rows):
            assert event.logprob == pytest.approx(float(logprobs[n, event.token]), abs=1e-4)
            best = logprobs[n].topk(4)
            assert [a.token for a in event.alternatives] == best.indices.tolist()
            assert [a.logprob for a in event.alternatives] == pytest.approx(best.values.tolist(), abs=1e-4)
            expected = sorted(
                (
                    (float(value), layer, int(index))
                    for layer, trace in out.traces.items()
                    for value, index in zip(
                        trace.codes.values[0, len(asked.prompt) - 1 + n],
                        trace.codes.indices[0, len(asked.prompt) - 1 + n],
                        strict=True,
                    )
                ),
                reverse=True,
            )[:5]
            assert [(f.layer, f.feature) for f in event.fired] == [entry[1:] for entry in expected]
            assert [f.value for f in event.fired] == pytest.approx([entry[0] for entry in expected], abs=1e-4)


def test_the_first_effect_is_the_difference_of_the_two_models(tiny_model: MFNModel, engine: SlotEngine) -> None:
    asked = request(tiny_model, "Take two eggs", interventions=(STRONG,), max_new_tokens=1, alternatives=6)
    (event,) = tokens(list(stream(engine, asked)), "steered")
    edits = EditBuffers.allocate(tiny_model.n_features, rows=1)
    edits.write(0, [STRONG], len(asked.prompt))
    with torch.inference_mode():
        ids = torch.tensor([asked.prompt])
        plain, steered = (tiny_model(ids, edits=e).logits[0, -1].double().log_softmax(-1) for e in (None, edits))
    expected = float((steered.exp() * (steered - plain)).sum())
    assert expected > 0.01
    assert event.kl == pytest.approx(expected, rel=1e-3)
    assert event.plain_logprob == pytest.approx(float(plain[event.token]), abs=1e-4)
    far = (steered.exp() - plain.exp()).abs().topk(6).indices
    assert [shift.token for shift in event.shifts] == far.tolist()
    assert {shift.logprob > shift.plain_logprob for shift in event.shifts} == {True, False}  # some up, some down
    assert [shift.logprob for shift in event.shifts] == pytest.approx(steered[far].tolist(), abs=1e-4)
    assert [shift.plain_logprob for shift in event.shifts] == pytest.approx(plain[far].tolist(), abs=1e-4)


def test_effects_are_told_as_long_as_both_texts_are_the_same(tiny_model: MFNModel, engine: SlotEngine) -> None:
    asked = request(tiny_model, "Take two eggs", interventions=(STRONG,), max_new_tokens=12, alternatives=3)
    steered = tokens(list(stream(engine, asked)), "steered")
    assert [event.plain_logprob is None for event in steered] == [event.kl is None for event in steered]
    assert [event.shifts == () for event in steered] == [event.kl is None for event in steered]
    assert steered[-1].kl is None  # they part
    unasked = request(tiny_model, "Take two eggs", interventions=(STRONG,), max_new_tokens=1)
    (event,) = tokens(list(stream(engine, unasked)), "steered")
    assert (event.shifts, event.plain_logprob) == ((), steered[0].plain_logprob)


def test_an_update_acts_from_the_next_token_on(tiny_model: MFNModel, engine: SlotEngine) -> None:
    untouched = list(stream(engine, request(tiny_model, max_new_tokens=12, fired=64)))
    asked = request(tiny_model, max_new_tokens=12, fired=64)
    engine.submit(asked)
    events = [event for _ in range(5) for event in engine.step()]
    engine.update(asked.id, [STRONG])
    while engine.busy:
        events += engine.step()
    steered = tokens(events, "steered")
    assert content(events, "steered")[:5] == content(untouched, "steered")[:5]
    held = [9.0 in [f.value for f in event.fired if (f.layer, f.feature) == (1, 7)] for event in steered]
    assert held == [False] * 5 + [True] * 7
    assert content(events, "plain") == content(untouched, "plain")


def test_a_refused_update_changes_nothing(tiny_model: MFNModel, engine: SlotEngine) -> None:
    asked = request(tiny_model, interventions=(STRONG,), max_new_tokens=10, fired=64)
    expected = list(stream(engine, asked))
    engine.submit(asked)
    events = engine.step()
    with pytest.raises(InterventionError, match="feature 48 does not exist"):
        engine.update(asked.id, [Intervention(0, 48, "set", 1.0)])
    while engine.busy:
        events += engine.step()
    assert content(events, "steered") == content(expected, "steered")
    with pytest.raises(UnknownRequestError):
        engine.update(asked.id, [])


def test_requests_wait_in_order_and_can_be_changed_and_dropped(tiny_model: MFNModel, engine: SlotEngine) -> None:
    first, second, third = (request(tiny_model, max_new_tokens=3, fired=64) for _ in range(3))
    for asked in (first, second, third):
        engine.submit(asked)
    engine.update(third.id, [STRONG])
    engine.cancel(second.id)
    events = []
    while engine.busy:
        events += engine.step()
    order = [event.request for event in events if isinstance(event, Ended)]
    assert order == [first.id, third.id]
    steered = [event for event in tokens(events, "steered") if event.request == third.id]
    assert all((1, 7, 9.0) in [(f.layer, f.feature, f.value) for f in event.fired] for event in steered)
    assert engine.step() == []


def test_cancel_frees_the_rows_at_once(tiny_model: MFNModel, engine: SlotEngine) -> None:
    asked = request(tiny_model, max_new_tokens=50)
    events = stream(engine, asked)
    next(events)
    with pytest.raises(RuntimeError, match="busy"):
        next(stream(engine, request(tiny_model)))
    events.close()
    assert not engine.busy
    engine.cancel(asked.id)  # once more is no error


def test_ends_with_max_new_tokens_and_with_a_full_context(tiny_model: MFNModel, engine: SlotEngine) -> None:
    events = list(stream(engine, request(tiny_model, max_new_tokens=4)))
    assert (done(events, "plain").reason, done(events, "plain").n_tokens) == ("length", 4)
    prompt = tuple(range(1, 91))
    filled = list(stream(engine, GenerationRequest(prompt, max_new_tokens=50)))
    assert (done(filled, "steered").reason, done(filled, "steered").n_tokens) == ("context", 6)
    longest = list(stream(engine, GenerationRequest((5,) * 95, max_new_tokens=50)))
    assert done(longest, "steered").n_tokens == 1
    with pytest.raises(PromptTooLongError, match="has 96 tokens; at most 95") as refused:
        engine.submit(GenerationRequest((5,) * 96))
    assert (refused.value.length, refused.value.limit) == (96, 95)


def test_a_stream_ends_at_eos_while_its_twin_goes_on(tiny_model: MFNModel, engine: SlotEngine) -> None:
    """Sampled at a high temperature some seed ends one of the two streams early."""
    for seed in range(200):
        asked = request(
            tiny_model, interventions=(STRONG,), max_new_tokens=40, sampling=Sampling(temperature=3.0, seed=seed)
        )
        events = list(stream(engine, asked))
        reasons = {done(events, name).reason for name in ("plain", "steered")}
        if reasons == {"eos", "length"}:
            break
    else:
        pytest.fail("no seed ends one stream early")
    for name in ("plain", "steered"):
        rows, end = tokens(events, name), done(events, name)
        assert (rows[-1].token == 0) == (end.reason == "eos")
        assert 0 not in [event.token for event in rows[:-1]]
        assert end.n_tokens == len(rows)
        assert end.text == "".join(event.delta for event in rows)
        assert "<|end|>" not in end.text
    assert isinstance(events[-1], Ended)


def test_deltas_make_the_text_of_the_tokenizer(tiny_model: MFNModel, engine: SlotEngine) -> None:
    events = list(stream(engine, request(tiny_model, "東", max_new_tokens=40, sampling=Sampling(2.0, seed=5))))
    for name in ("plain", "steered"):
        ids = [event.token for event in tokens(events, name)]
        assert done(events, name).text == tiny_model.tokenizer.decode(ids, skip_special_tokens=True)


def test_refuses_what_takes_more_than_there_is(tiny_model: MFNModel) -> None:
    with pytest.raises(ConfigError, match="at least one row"):
        SlotEngine(tiny_model, rows=0)
    single = SlotEngine(tiny_model, rows=1, context=32)
    with pytest.raises(ConfigError, match="two rows; this engine has 1"):
        single.submit(request(tiny_model))
    with pytest.raises(ConfigError, match="tokens 0 to 299"):
        single.submit(GenerationRequest((300,), compare=False))
    alone = request(tiny_model, compare=False, max_new_tokens=2)
    single.submit(alone)
    with pytest.raises(ConfigError, match="already"):
        single.submit(alone)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (Intervention(5, 0, "ablate"), "block 5 has no features"),
        (Intervention(0, 48, "ablate"), "feature 48 does not exist"),
        (Intervention(0, 0, "ablate", condition=48), "condition 48 does not exist"),
        (Intervention(0, 0, "ablate", scope=Scope("range", 96)), "texts end at token 95"),
    ],
)
def test_refuses_what_is_not_there(tiny_model: MFNModel, engine: SlotEngine, wrong: Intervention, message: str) -> None:
    with pytest.raises(InterventionError, match=message):
        engine.submit(request(tiny_model, interventions=(STRONG, wrong)))
    assert not engine.busy


def test_refuses_more_interventions_than_slots(tiny_model: MFNModel, engine: SlotEngine) -> None:
    with pytest.raises(InterventionError, match="17 interventions: at most 16"):
        engine.submit(request(tiny_model, interventions=(STRONG,) * 17))


def test_a_stop_string_ends_a_stream_before_it(tiny_model: MFNModel, engine: SlotEngine) -> None:
    whole = done(list(stream(engine, request(tiny_model, max_new_tokens=40, compare=False))), "steered").text
    stop = whole[12:15]
    events = list(stream(engine, request(tiny_model, max_new_tokens=40, compare=False, stop=(stop, "never there"))))
    end = done(events, "steered")
    assert (end.reason, end.text) == ("stop", whole[: whole.index(stop)])
    assert "".join(event.delta for event in tokens(events, "steered")) == end.text


@pytest.mark.parametrize(
    "options",
    [{"stop": ("",)}, {"stop": "abc"}, {"stop": ("a",) * 17}, {"stop": ("a" * 257,)}],
)
def test_refuses_impossible_stop_strings(options: dict) -> None:
    with pytest.raises(ConfigError):
        GenerationRequest((1,), **options)


@pytest.mark.parametrize("options", [{"max_new_tokens": 0}, {"fired": -1}, {"alternatives": 65}, {"prompt": ()}])
def test_refuses_impossible_requests(options: dict) -> None:
    with pytest.raises(ConfigError):
        GenerationRequest(**{"prompt": (1,), **options})
