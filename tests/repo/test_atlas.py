"""The atlas that ships with the demo is of its model."""

from __future__ import annotations

from pathlib import Path

import pytest

from mfn_core import MFNModel
from mfn_server.atlas.file import read_atlas

DEMO = Path(__file__).resolve().parents[2] / "demo"
ATLAS = DEMO / "atlas.jsonl"


@pytest.mark.skipif(not ATLAS.is_file(), reason="the demo model has no atlas yet")
def test_the_atlas_is_of_the_demo_model() -> None:
    atlas, model = read_atlas(ATLAS), MFNModel.from_pretrained(DEMO / "model")
    assert atlas.header.model == model.fingerprint
    assert atlas.header.how, "says who wrote it, and how it was checked"
    atlas.check({layer: coder.n_features for layer, coder in model.coders.items()})
