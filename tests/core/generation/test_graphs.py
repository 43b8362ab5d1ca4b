"""Steps from CUDA graphs give what steps without them do."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch

from mfn_core import Intervention, MFNModel
from mfn_core.errors import ConfigError
from mfn_core.generation import GenerationRequest, Sampling, SlotEngine

from .conversation import content, tokens


def test_graphs_are_refused_without_a_gpu(tiny_model: MFNModel) -> None:
    with pytest.raises(ConfigError, match="this one is on cpu"):
        SlotEngine(tiny_model, rows=2, graphs=True)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_graph_writes_what_single_operations_write(tiny_model: MFNModel) -> None:
    model = copy.deepcopy(tiny_model).to("cuda")
    steering = (
        (),
        (Intervention(1, 7, "set", 9.0),),
        tuple(Intervention(1, 7, "add", 0.5) for _ in range(3)),  # more on one feature than a graph has room for
    )
    asked = [
        GenerationRequest((5, 6, 7), 30, one, Sampling(1.0, seed=number), alternatives=3, fired=4, id=f"{number}")
        for number, one in enumerate(steering)
    ]
    said = []
    for graphs in (False, True):
        engine, events = SlotEngine(model, rows=6, graphs=graphs), []
        for one in asked:
            engine.submit(replace(one))
        while engine.busy:
            events += engine.step()
        said.append([content(events, name, one.id) for one in asked for name in ("plain", "steered")])
        assert len(tokens(events, "steered", "0")) > 5
    assert said[0] == said[1]
