"""Long work pauses after so many tokens, leaves the model free, and comes to what it comes to in one go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mfn_core import Intervention, MFNModel, Scope
from mfn_core.generation import GenerationRequest, Sampling, SlotEngine, TokenEvent
from mfn_core.slices import SLICE, Slices, finish
from mfn_core.steering import SpotOrder, prepared
from mfn_core.steering.prediction import predict_in_slices
from mfn_core.steering.spots import Ask
from mfn_core.steering.sweep import dose_response_in_slices, write_doses_in_slices
from mfn_core.steering.sweet_spot import tried_in_slices
from mfn_core.text_tests import TextTest
from mfn_core.writing import Writing

PROMPT = "The ship left the harbour at dawn, and nobody saw it"
TURNS = [Intervention(layer, 7, "set", 6.0, Scope("generation")) for layer in (0, 1, 0, 1)]
DOSES = [1.0 + dose for dose in range(20)]


def search(model: MFNModel) -> Slices[Any]:
    test = TextTest(frozenset({"ship"}))
    order = prepared(model, SpotOrder((PROMPT, "Snow"), (TURNS[0],), test, samples=16, tokens=12))
    return tried_in_slices(model, order, Ask((1.0, 4.0, 9.0), 0.8))


WORK: dict[str, Callable[[MFNModel], Slices[Any]]] = {
    "predict": lambda model: predict_in_slices(model, model.encode_text(PROMPT), TURNS, method="path"),
    "sweep": lambda model: dose_response_in_slices(model, PROMPT, [TURNS[0]], DOSES),
    "write": lambda model: write_doses_in_slices(model, PROMPT, TURNS, DOSES, None, Writing(8, 1.0, batch=96), 4),
    "search": search,
}


@pytest.mark.parametrize("name", WORK)
def test_a_slice_reads_so_many_tokens_and_leaves_the_model_free(tiny_model: MFNModel, name: str) -> None:
    read = [0]
    embeddings = tiny_model.base.get_input_embeddings()
    handle = embeddings.register_forward_hook(lambda module, args, output: read.append(read.pop() + args[0].numel()))
    try:
        for _ in WORK[name](tiny_model):
            assert tiny_model.stage.run is None
            read.append(0)
    finally:
        handle.remove()
    assert max(read) <= max(SLICE, 2 * len(tiny_model.encode_text(PROMPT)))
    assert len(read) > 3
    assert sum(read) > 2 * SLICE, "less would fit one"


@pytest.mark.parametrize("name", WORK)
def test_a_text_beside_it_and_the_work_itself_are_what_they_are_alone(tiny_model: MFNModel, name: str) -> None:
    engine = SlotEngine(tiny_model)
    asked = GenerationRequest(
        tuple(tiny_model.encode_text("Snow")), 70, (TURNS[1],), Sampling(1.0, seed=3), alternatives=2, fired=2, id="a"
    )

    def written(beside: Slices[Any] | None) -> tuple[list[TokenEvent], Any]:
        engine.submit(asked)
        events, found = [], None
        while engine.busy:
            if beside is not None:
                try:
                    next(beside)
                except StopIteration as end:
                    found, beside = end.value, None
            events += [event for event in engine.step() if isinstance(event, TokenEvent)]
        return events, found if beside is None else finish(beside)

    alone, _ = written(None)
    together, found = written(WORK[name](tiny_model))
    assert together == alone
    assert repr(found) == repr(finish(WORK[name](tiny_model)))
