"""A pass that begins at a block is the one that began before it, in every family, and leaves the model as it was."""

from __future__ import annotations

import pytest
import torch

from mfn_core.config import MFNConfig, MFNLayerConfig
from mfn_core.evaluation import late_start
from mfn_core.evaluation.late_start import LateStart, Streams
from mfn_core.interventions import EditBuffers, Intervention
from mfn_core.model import MFNModel
from tests.core.sites import zoo

CHANGE = "resid_post"  # a site that every family has; a code there stands before block 1, and is changed in it


def edits_of(model: MFNModel, rows: list[int], layer: int) -> EditBuffers:
    edits = EditBuffers.allocate(model.n_features, rows=len(rows))
    for row, feature in enumerate(rows):
        edits.write(row, [Intervention(layer, feature, "add", 4.0)], 0)
    return edits


@pytest.mark.parametrize("name", zoo.CASES)
def test_a_late_pass_is_the_whole_pass(name: str) -> None:
    layer = MFNLayerConfig(48, 6, site=CHANGE, token_lookup=True)
    model = zoo.equipped(name, MFNConfig.uniform(2, layer))
    ids, edits = zoo.ids(), edits_of(model, [3, 7], 1)
    blocks = list(model.family.blocks(model.base))
    with torch.no_grad():
        whole, plain = model(ids, edits=edits).logits, model(ids).logits
        start = LateStart(model, 1)
        stream = start.stream(ids)
        read: list[int] = []
        handles = [b.register_forward_pre_hook(lambda *_, n=n: read.append(n)) for n, b in enumerate(blocks)]
        with start.begin(stream):
            torch.testing.assert_close(model(ids, edits=edits).logits, whole)
        assert read == [1], "the block before is not computed again"
        for handle in handles:
            handle.remove()
        with pytest.raises(KeyError), start.begin(stream):
            raise KeyError
        assert all(one is other for one, other in zip(blocks, model.family.blocks(model.base), strict=True))
        assert torch.equal(model(ids).logits, plain)
    assert not torch.allclose(whole, plain)


def test_the_end_of_the_stream_can_be_begun_at() -> None:
    model = zoo.equipped("llama", zoo.at(2, MFNLayerConfig(48, 6, site="resid_final")))
    ids, edits = zoo.ids(), edits_of(model, [3, 7], 2)
    start = LateStart(model, 2)
    with torch.no_grad():
        whole = model(ids, edits=edits).logits
        with start.begin(start.stream(ids)):
            torch.testing.assert_close(model(ids, edits=edits).logits, whole)


def test_a_stream_is_computed_once_for_each_text_and_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    model = zoo.equipped("llama", zoo.mfn())
    rows = [zoo.ids(1, length)[0] for length in (4, 9, 6)]
    asked: list[list[int]] = []
    compute = LateStart.stream
    monkeypatch.setattr(LateStart, "stream", lambda self, ids: asked.append(list(ids.shape)) or compute(self, ids))
    streams = Streams(model, [row.numpy() for row in rows])
    edits = edits_of(model, [5, 5, 6], 1)
    for _ in range(2):
        with torch.no_grad(), streams.begin(1, [2, 0, 2]):
            batch = torch.nn.utils.rnn.pad_sequence([rows[n] for n in (2, 0, 2)], batch_first=True)
            late = model(batch, edits=edits).logits
    whole = model(batch, edits=edits).logits
    for row, length in enumerate((6, 4, 6)):  # padding differs, and nobody reads it
        torch.testing.assert_close(late[row, :length], whole[row, :length])
    assert asked == [[2, 6]], "both texts in one pass, once"
    with streams.begin(2, [0]), streams.begin(1, [0]):
        assert asked[1:] == [[1, 4], [1, 4]], "one layer's are kept at a time"
    monkeypatch.setattr(late_start, "STREAM_BYTES", rows[1].numel() * zoo.WIDTH * 4)
    full = Streams(model, [row.numpy() for row in rows])
    for texts in ([1], [0], [1], [0]):
        with full.begin(1, texts):
            pass
    assert asked[3:] == [[1, 9], [1, 4], [1, 4]], "what finds no room is computed again"
