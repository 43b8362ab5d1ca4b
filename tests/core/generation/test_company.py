"""What a request gets does not depend on its company: alone or among others, in any row, whatever befalls them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mfn_core import Intervention, MFNModel, Scope
from mfn_core.generation import Ended, Event, Failed, GenerationRequest, Sampling, SlotEngine, TokenEvent, stream

from .conversation import content

PIECE = 6
HUGE = tuple(Intervention(0, feature, "set", 3e38) for feature in range(16))  # more than a number can hold, together


def words(seed: int, length: int) -> tuple[int, ...]:
    """A prompt. Lists that hypothesis draws itself are mostly short."""
    return tuple(random.Random(seed).choices(range(300), k=length))


interventions = st.lists(
    st.builds(
        Intervention,
        layer=st.integers(0, 1),
        feature=st.integers(0, 47),
        mode=st.sampled_from(["set", "add", "scale", "ablate"]),
        value=st.floats(0, 50, width=32),
        scope=st.sampled_from([Scope(), Scope("prompt"), Scope("generation"), Scope("range", 1, 6)]),
        condition=st.none() | st.integers(0, 47),
    ),
    max_size=4,
).map(tuple)
requests = st.builds(
    GenerationRequest,
    prompt=st.tuples(st.integers(0, 999), st.integers(1, 20)).map(lambda drawn: words(*drawn)),
    max_new_tokens=st.integers(1, 12),
    interventions=interventions | st.just(HUGE),
    sampling=st.builds(
        Sampling,
        temperature=st.sampled_from([0.0, 0.7, 1.5]),
        top_k=st.sampled_from([0, 5]),
        top_p=st.sampled_from([1.0, 0.9]),
        min_p=st.sampled_from([0.0, 0.1]),
        repetition_penalty=st.sampled_from([1.0, 1.2]),
        presence_penalty=st.sampled_from([0.0, 0.5]),
        seed=st.integers(0, 99),
    ),
    compare=st.booleans(),
    alternatives=st.sampled_from([0, 2, 5]),
    fired=st.sampled_from([0, 4]),
)


@dataclass(frozen=True)
class Guest:
    """Another request, and when what happens to it."""

    request: GenerationRequest
    comes: int
    leaves: int
    changes: int
    to: tuple[Intervention, ...]


guest = st.builds(
    Guest, requests, comes=st.integers(0, 8), leaves=st.integers(3, 40), changes=st.integers(0, 15), to=interventions
)
guests = st.lists(guest, max_size=1) | st.lists(guest, min_size=3, max_size=7)


@dataclass(frozen=True)
class Change:
    """Other interventions for the request itself, once it has so many tokens."""

    after: int
    to: tuple[Intervention, ...]


def written(
    engine: SlotEngine, asked: GenerationRequest, change: Change, comes: int = 0, guests: Sequence[Guest] = ()
) -> list[Event]:
    """All events of one request, which meets the others."""
    found: list[Event] = []
    step, arrived = 0, set()
    while step <= comes or engine.busy:
        if step == comes:
            engine.submit(asked)
        for guest in guests:
            if step == guest.comes:
                engine.submit(guest.request)
                arrived.add(guest.request.id)
            if step == guest.changes and guest.request.id in arrived and guest.request.id in {*engine._writing}:
                engine.update(guest.request.id, guest.to)
            if step == guest.leaves:
                engine.cancel(guest.request.id)
        events = engine.step()
        found += [event for event in events if event.request == asked.id]
        count = sum(isinstance(event, TokenEvent) and event.stream == "steered" for event in found)
        if count == change.after and events and asked.id in engine._writing:
            engine.update(asked.id, change.to)
        step += 1
    assert not engine.busy
    assert engine.load.busy_rows == 0
    return found


@pytest.fixture(scope="module")
def alone(tiny_model: MFNModel) -> SlotEngine:
    return SlotEngine(tiny_model, rows=2, piece=PIECE)


@pytest.fixture(scope="module")
def crowded(tiny_model: MFNModel) -> SlotEngine:
    engine = SlotEngine(tiny_model, rows=7, piece=PIECE)
    assert engine.exact
    assert len(engine._rows.shapes) > 1, "passes of one shape would not try whether shapes agree"
    return engine


@settings(max_examples=60, deadline=None)
@given(
    asked=requests,
    change=st.builds(Change, after=st.integers(1, 13), to=interventions),
    comes=st.integers(0, 6),
    guests=guests,
)
def test_a_stream_depends_on_its_own_request_alone(
    alone: SlotEngine,
    crowded: SlotEngine,
    asked: GenerationRequest,
    change: Change,
    comes: int,
    guests: list[Guest],
) -> None:
    expected = written(alone, asked, change)
    # Ids are drawn anew: examples that hypothesis repeats must not meet themselves.
    guests = [replace(guest, request=replace(guest.request, id=f"guest {n}")) for n, guest in enumerate(guests)]
    again = written(crowded, asked, change, comes, guests)
    for name in ("plain", "steered"):
        assert content(again, name) == content(expected, name)
    assert isinstance(again[-1], Ended | Failed)
    assert type(again[-1]) is type(expected[-1])


def test_one_that_leaves_the_numbers_fails_alone(tiny_model: MFNModel, alone: SlotEngine, crowded: SlotEngine) -> None:
    calm = GenerationRequest((5, 6, 7), max_new_tokens=12, alternatives=3, fired=3)
    wild = replace(calm, prompt=words(1, 4), interventions=HUGE, compare=False, id="wild")
    expected = written(alone, calm, Change(99, ()))
    crowded.submit(wild)
    events = written(crowded, calm, Change(99, ()))
    assert content(events, "steered") == content(expected, "steered")
    # The row that it had holds nothing of it: who gets it next is as well as anywhere.
    assert all(part.isfinite().all() for part in crowded._rows.cache.parts)
    crowded.submit(wild)
    failed = [event for event in crowded.step() if isinstance(event, Failed)]
    assert [event.request for event in failed] == ["wild"]
    assert "too strong" in failed[0].message
    assert content(written(crowded, calm, Change(99, ())), "plain") == content(expected, "plain")


def test_rows_are_given_in_order_of_arrival(tiny_model: MFNModel) -> None:
    engine = SlotEngine(tiny_model, rows=3)
    asked = [
        GenerationRequest((9,), max_new_tokens=length, compare=compare, id=str(number))
        for number, (length, compare) in enumerate([(6, True), (3, False), (4, True), (2, False), (2, False)])
    ]
    for one in asked:
        engine.submit(one)
    begun: list[str] = []
    while engine.busy:
        for event in engine.step():
            if event.request not in begun:
                begun.append(event.request)
        load = engine.load
        assert load.busy_rows <= load.rows == 3
    assert begun == ["0", "1", "2", "3", "4"], "the third takes two rows, and nobody overtakes it"


def test_prompts_hold_those_who_write_up_for_a_piece_at_most(tiny_model: MFNModel) -> None:
    engine, long = SlotEngine(tiny_model, rows=4, piece=8), tuple(range(1, 31))
    writer = GenerationRequest((3,), max_new_tokens=60, compare=False, id="writer")
    engine.submit(writer)
    engine.step()
    for number in range(2):
        engine.submit(GenerationRequest(long, max_new_tokens=1, compare=False, id=f"long {number}"))
    begun: dict[str, int] = {}
    first: dict[str, Event] = {}
    for step in range(1, 12):
        events = engine.step()
        assert sum(event.request == "writer" for event in events if isinstance(event, TokenEvent)) == 1
        for event in events:
            begun.setdefault(event.request, step)
            first.setdefault(event.request, event)
    # 30 tokens are pieces of 8, 8, 8 and 6; the second prompt's first piece does not fit beside the last.
    assert (begun["long 0"], begun["long 1"]) == (4, 8)
    # What the writer's steps put into a row that is being read is not there any more when it is looked at.
    undisturbed = list(stream(SlotEngine(tiny_model, rows=4, piece=8), GenerationRequest(long, 1, compare=False)))
    assert isinstance(undisturbed[0], TokenEvent)
    assert all(first[f"long {number}"] == replace(undisturbed[0], request=f"long {number}") for number in range(2))


@pytest.mark.parametrize("context", [96, 51])
def test_rows_agree_whichever_thread_has_them(tiny_model: MFNModel, context: int) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        engine = SlotEngine(tiny_model, rows=8, context=context)
        assert engine.exact
        asked = GenerationRequest(words(3, 9), 30, alternatives=3, fired=3, compare=False)
        everywhere = [replace(asked, id=str(number)) for number in range(8)]
        others = [replace(one, prompt=words(int(one.id), 5)) if int(one.id) % 3 else one for one in everywhere]
        for one in others:
            engine.submit(one)
        events = []
        while engine.busy:
            events += engine.step()
        alone = content(list(stream(SlotEngine(tiny_model, rows=1, context=context), asked)), "steered")
        assert all(content(events, "steered", number) == alone for number in ("0", "3", "6"))
    finally:
        torch.set_num_threads(threads)
