"""What a request takes up is known before: never less than it comes to, and not much more."""

from __future__ import annotations

import gc
import pickle
import tracemalloc
from dataclasses import replace

import pytest

from mfn_core import Intervention, MFNModel, Scope
from mfn_core.generation import Change, GenerationRequest, Sampling, SlotEngine, TokenEvent, stream
from mfn_core.generation.footprint import event_bytes, footprint, size_of


@pytest.fixture(scope="module")
def engine(tiny_model: MFNModel) -> SlotEngine:
    return SlotEngine(tiny_model)


def taken(things: list) -> int:
    """The memory of plain data, as the allocator counts it: of a copy that shares nothing with what was there."""
    packed = pickle.dumps(things)
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        copy = pickle.loads(packed)
        after = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert copy == things
    return after - before


@pytest.mark.parametrize(("alternatives", "fired", "watch"), [(0, 0, 0), (3, 3, 0), (20, 20, 0), (5, 0, 8)])
def test_events_take_what_was_told(
    tiny_model: MFNModel, engine: SlotEngine, alternatives: int, fired: int, watch: int
) -> None:
    asked = GenerationRequest(
        tuple(tiny_model.encode_text("The ship")),
        max_new_tokens=60,
        interventions=(Intervention(1, 7, "add", 0.02),),  # so little that the texts stay together for a while
        sampling=Sampling(seed=3),
        alternatives=alternatives,
        fired=fired,
        watch=tuple((0, feature) for feature in range(watch)),
    )
    events = [event for event in stream(engine, asked) if isinstance(event, TokenEvent)]
    told = event_bytes(alternatives, fired, watch, compared=True)
    largest = max(size_of(replace(event, request="")) for event in events)
    assert largest <= told < 1.5 * largest + 200
    both = [replace(event, request="") for event in events if event.kl is not None]
    assert len(both) >= 3
    assert 0.6 * told * len(both) < taken(both) <= told * len(both)


def test_the_cache_and_the_request_are_counted_to_the_byte(tiny_model: MFNModel, engine: SlotEngine) -> None:
    prompt = tuple(tiny_model.encode_text("The harbour was quiet."))
    parts = engine._rows.cache.parts

    def positions(count: int) -> int:
        return sum(part[0, :, :count].numel() * part.element_size() for part in parts)

    asked = GenerationRequest(prompt, max_new_tokens=9)
    found = footprint(asked, engine.row_bytes, engine.context)
    assert found.cache == 2 * positions(len(prompt) + 9)
    assert footprint(replace(asked, compare=False), engine.row_bytes, engine.context).cache == found.cache // 2
    endless = footprint(replace(asked, max_new_tokens=10**6), engine.row_bytes, engine.context)
    assert endless.cache == 2 * positions(engine.context)
    assert endless.events < 2 * engine.context

    changes = tuple(
        Change(step, tuple(Intervention(1, 7, "set", step + n / 8, Scope("generation")) for n in range(4)))
        for step in range(200)
    )
    moved = replace(asked, changes=changes)
    more = footprint(moved, engine.row_bytes, engine.context).request - found.request
    assert 0.4 * more < taken(list(changes)) <= more
    assert footprint(moved, engine.row_bytes, engine.context).events == found.events + 200


def test_what_a_reader_may_lag_bounds_what_is_set_aside(tiny_model: MFNModel, engine: SlotEngine) -> None:
    asked = GenerationRequest(tuple(tiny_model.encode_text("The ship")), max_new_tokens=80, alternatives=20)
    found = footprint(asked, engine.row_bytes, engine.context)
    assert found.beside_cache(unread=9) == 2 * found.request + 10 * found.event
    assert found.beside_cache(unread=10**6) == 2 * found.request + found.events * found.event
