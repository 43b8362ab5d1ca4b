"""Where a forward pass says what its tokens are and where they stand, and what a run keeps of it."""

from __future__ import annotations

import copy

import pytest
import torch
from transformers import DynamicCache

from mfn_core import MFNModel, Run

IDS = torch.tensor([[0, 5, 9, 7], [0, 8, 8, 3]])


def positions_seen(model: MFNModel, **given: object) -> list[list[int]]:
    with model.run() as run:
        model.base(**given)
    assert run.positions is not None
    return run.positions.tolist()  # type: ignore[no-any-return]


def test_positions_are_the_given_ones_or_follow_the_cache(tiny_model: MFNModel) -> None:
    assert positions_seen(tiny_model, input_ids=IDS) == [[0, 1, 2, 3]]
    given = torch.tensor([[0, 0, 1, 2], [0, 1, 2, 3]])
    assert positions_seen(tiny_model, input_ids=IDS, position_ids=given) == given.tolist()
    cache = DynamicCache(config=tiny_model.base.config)
    with torch.inference_mode():
        tiny_model.base(input_ids=IDS, past_key_values=cache)
        assert positions_seen(tiny_model, input_ids=IDS[:, :1], past_key_values=cache) == [[4]]


def test_tokens_are_known_unless_embeddings_came_instead(tiny_model: MFNModel) -> None:
    with tiny_model.run() as run:
        tiny_model.base(IDS)  # by position
        assert run.tokens is not None
        assert torch.equal(run.tokens, IDS)
        tiny_model.base(inputs_embeds=tiny_model.base.get_input_embeddings()(IDS))
        assert run.tokens is None
        assert run.positions is not None


def test_a_run_that_is_opened_again_brings_its_own_tokens(tiny_model: MFNModel) -> None:
    first = tiny_model(IDS, record=True).run
    tiny_model(IDS[:, :2], record=True)
    with tiny_model.stage.use(first):
        assert torch.equal(tiny_model.stage.positions, torch.arange(4)[None])
        assert tiny_model.stage.tokens is IDS


def test_runs_do_not_nest(tiny_model: MFNModel) -> None:
    with tiny_model.run(), pytest.raises(RuntimeError, match="already open"), tiny_model.run():
        pass
    assert tiny_model.stage.run is None


def test_a_copy_of_a_model_has_a_stage_of_its_own(tiny_model: MFNModel) -> None:
    twin = copy.deepcopy(tiny_model)
    with twin.run(record=True) as run:
        twin.base(IDS)
    assert set(run.traces) == set(tiny_model.coders)
    assert tiny_model.stage.run is None
    with tiny_model.run(record=True) as other:
        twin.base(IDS)
    assert not other.traces


def test_training_takes_no_interventions(tiny_model: MFNModel) -> None:
    from mfn_core import EditBuffers

    with pytest.raises(ValueError, match="no interventions"):
        Run(edits=EditBuffers.allocate(tiny_model.n_features, rows=1), branch="train")
