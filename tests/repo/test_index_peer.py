"""How an index is compared with SAEDashboard's data: against what a plain loop over the codes of a model finds."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from benchmarks.index_peer import LAYER, QUICK, Case, agreement
from mfn_core.indexing import LayerIndex

SIZES = QUICK._replace(d=32, vocab=64, n_features=48, k=4, documents=24, length=16)
Found = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def case() -> Case:
    """A model with an SAE behind each block, and a few documents."""
    return Case.make(SIZES)


@pytest.fixture(scope="module")
def layer(case: Case) -> LayerIndex:
    """Our index of the layer."""
    return case.index().layers[LAYER]


@pytest.fixture(scope="module")
def plain(case: Case) -> Found:
    """What the peer would write of each feature."""
    firings: list[list[tuple[int, int, float]]] = [[] for _ in range(SIZES.n_features)]
    for number, ids in enumerate(case.tokens):
        codes = case.model.codes(ids.tolist())[LAYER]
        for position in range(1, SIZES.length):
            for feature, value in zip(codes.indices[position].tolist(), codes.values[position].tolist(), strict=True):
                if value > 0:
                    firings[feature].append((number, position, value))
    base = case.model.base
    unembedding = base.lm_head.weight * base.model.norm.weight
    logits = (case.model.coders[LAYER].W_dec @ unembedding.T).detach()
    logits -= logits.mean(-1, keepdim=True)
    most, least = torch.topk(logits, 10), torch.topk(-logits, 10)
    return {
        str(feature): {
            "firings": len(found),
            "strongest": sorted(found, key=lambda firing: (-firing[2], firing[:2]))[:20],
            "promoted_ids": most.indices[feature].tolist(),
            "promoted_logits": most.values[feature].tolist(),
            "suppressed_ids": least.indices[feature].tolist(),
            "suppressed_logits": (-least.values[feature]).tolist(),
        }
        for feature, found in enumerate(firings)
    }


def shares(layer: LayerIndex, theirs: Found) -> tuple[float, ...]:
    """The three shares."""
    found = agreement(layer, theirs)
    return tuple(found[f"same_{name}"].value for name in ("firing_counts", "strongest", "promoted"))


def test_what_a_plain_loop_finds_is_the_same(layer: LayerIndex, plain: Found) -> None:
    assert sum(found["firings"] > 20 for found in plain.values()) > 10
    assert shares(layer, plain) == pytest.approx((100, 100, 100), abs=5)  # some nearly tie
    assert agreement(layer, plain)["largest_difference"].value < 1e-4


@pytest.mark.parametrize("part", ["firings", "strongest", "promoted_ids"])
def test_what_differs_shows(layer: LayerIndex, plain: Found, part: str) -> None:
    other = copy.deepcopy(plain)
    for found in other.values():
        match part:
            case "firings":
                found["firings"] += 1
            case "strongest":
                found["strongest"] = found["strongest"][::-1]
            case _:
                found["promoted_ids"] = found["promoted_ids"][::-1]
    before, after = shares(layer, plain), shares(layer, other)
    changed = ["firings", "strongest", "promoted_ids"].index(part)
    assert after[changed] < 0.7 * before[changed]
    assert [now == then for now, then in zip(after, before, strict=True)].count(True) == 2


def test_a_logit_that_is_off_shows(layer: LayerIndex, plain: Found) -> None:
    other = copy.deepcopy(plain)
    other["7"]["suppressed_logits"][0] += 0.25
    assert agreement(layer, other)["largest_difference"].value == pytest.approx(0.25, abs=1e-4)
