"""Verdicts on P1, P2, P3 and P5 from numbers whose answers are known."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from scipy import sparse

from mfn_core.codes import SparseCodes
from mfn_core.evaluation.predictions import p1, p2, p3, p4, p5
from mfn_core.evaluation.representations import Representation, Sample
from mfn_core.evaluation.verdicts import Verdict
from mfn_core.metrics.overlap import CoFiring

RNG = np.random.default_rng(0)


def firing(rates: np.ndarray, together: bool = False, tokens: int = 20_000) -> p1.LayerFiring:
    """Features that fire so often, each by its own lot or all by one."""
    rng = np.random.default_rng(1)
    lots = rng.random((tokens, 1 if together else len(rates)))
    fires = torch.from_numpy((lots < rates).astype(np.float32))
    overlap = CoFiring(len(rates))
    overlap.add(SparseCodes(torch.arange(len(rates)).expand(tokens, -1), fires, len(rates)))
    return p1.LayerFiring(fires.sum(0).long().numpy(), tokens, 0.01, overlap)


EVEN, UNEVEN = np.full(60, 0.011), np.geomspace(0.0005, 0.2, 60)


@pytest.mark.parametrize(
    ("ours", "random", "statuses"),
    [
        (firing(EVEN), firing(EVEN, together=True), ["holds", "holds"]),
        (firing(UNEVEN, together=True), firing(EVEN), ["fails", "fails"]),
        (firing(EVEN), None, ["holds", "not measured"]),
    ],
)
def test_p1(ours: p1.LayerFiring, random: p1.LayerFiring | None, statuses: list[str]) -> None:
    verdict = p1.verdict({2: ours}, None if random is None else {2: random})
    assert [c.status for c in verdict.conditions] == statuses
    row = verdict.tables["layers"]["MFN"]["2"]
    assert row["near_target"] == pytest.approx(verdict.conditions[0].estimate.value)  # type: ignore[union-attr]
    assert row["overlap"] <= row["overlap_max"]
    assert sum(row["rates"]["counts"]) == 60  # live features, each in one bin
    within = [low >= 0.5 and high <= 2 for low, high in itertools.pairwise(np.round(row["rates"]["edges"], 9))]
    near = sum(count for count, inside in zip(row["rates"]["counts"], within, strict=True) if inside)
    assert near / 60 == pytest.approx(row["near_target"])
    most, *_, least = verdict.tables["farthest"]
    assert most["rate"] == ours.counts.max() / ours.tokens
    assert least["rate"] == ours.counts.min() / ours.tokens
    assert ours.counts[most["feature"]] / ours.tokens / 0.01 == pytest.approx(most["times_target"])


def sample(concepts: int, n: int = 400) -> Sample:
    labels = (RNG.random((n, concepts)) < 0.4).astype(np.int8)
    return Sample(np.arange(n) // 2, np.zeros(n, np.int64), labels, np.arange(n) // 2 % 2 == 1)


def told(labels: np.ndarray, clear: float) -> Mapping[bool, Representation]:
    """Concept c in dimension c + 5 of both code and stream, as clearly as said."""
    n, concepts = labels.shape
    x = RNG.random((n, concepts + 10)).astype(np.float32)
    x[:, 5 : 5 + concepts] += clear * labels
    return {False: Representation(sparse.csr_array(x), x)}


def scores(clear: Mapping[str, float]) -> list[p2.ConceptScore]:
    drawn = sample(5)
    sources = [
        p2.Source(name, {0: told(drawn.labels, 0.0), 3: told(drawn.labels, how)}, stream=name == "stream")
        for name, how in clear.items()
    ]
    return [p2.score_concept(f"c{c}", c, False, drawn, source) for source in sources for c in range(5)]


def test_p2_uses_the_layer_and_the_dimension_that_tell() -> None:
    found = scores({"MFN": 1.0, "stream": 1.0})
    assert all(set(score.layers.values()) == {3} for score in found)
    assert [score.best for score in found] == [5, 6, 7, 8, 9, *([None] * 5)]
    assert all(score.by_k["1"] > 0.95 for score in found)


@pytest.mark.parametrize(
    ("clear", "statuses"),
    [
        ({"MFN": 1.2, "SAE": 0.4, "stream": 0.1}, ["holds", "holds"]),
        ({"MFN": 0.4, "SAE": 1.2, "stream": 1.2}, ["fails", "fails"]),
        ({"MFN": 1.2, "stream": 0.1}, ["not measured", "holds"]),
    ],
)
def test_p2(clear: dict[str, float], statuses: list[str]) -> None:
    verdict = p2.verdict(scores(clear), "MFN", "SAE", "stream")
    assert [c.status for c in verdict.conditions] == statuses
    assert set(verdict.tables["means"]) == set(clear)
    assert len(verdict.tables["concepts"]) == 5 * len(clear)
    tests = {(row["over"], row["k"], row["concept"]): row for row in verdict.tables["tests"]}
    assert len(tests) == 2 * 5 * (len(clear) - 1)
    better = tests["stream", "1", "c0"]
    assert (better["difference"] > 0, better["p_holm"] < 0.05) == (statuses[1] == "holds",) * 2


def test_p2_gains_are_of_what_lies_above_a_guess() -> None:
    found = p2.gain([0.8, 0.9, 0.9], [0.7, 0.7, 0.51])
    assert found is not None
    assert (found.value, found.n) == (pytest.approx((0.5 + 1.0) / 2), 2)
    assert p2.gain([0.8], [0.5]) is None
    assert p2.gain_of_means([0.8, 0.9], [0.7, 0.5]).value == pytest.approx(0.7 / 0.2 - 1)


def test_p2_needs_enough_of_each_class_in_either_half() -> None:
    drawn = sample(1)
    assert p2.usable(drawn, 0)
    drawn.labels[drawn.scored, 0] = 0
    assert not p2.usable(drawn, 0)


def aligned(matched: float, cka: float) -> list[p3.Aligned]:
    return [p3.Aligned(pair, layer, matched + 0.01 * layer, cka) for pair in ("0–1", "0–2", "1–2") for layer in (0, 1)]


def test_p3() -> None:
    verdict = p3.verdict(aligned(0.5, 0.6), {"SAEs": aligned(0.4, 0.7), "random codes": aligned(0.1, 0.1)})
    assert [c.status for c in verdict.conditions] == ["holds", "fails", "holds", "holds"]
    assert verdict.conditions[0].estimate == pytest.approx((0.1, 0.1, 0.1, 3))
    assert p3.verdict(aligned(0.5, 0.6), {"SAEs": []}).status == "not measured"
    two = p3.verdict(aligned(0.5, 0.6)[:2], {"random codes": aligned(0.1, 0.1)[:2]}, seeds=2)
    assert (two.status, two.conditions[0].why_not) == ("not measured", "3 seeds are needed, and there are 2")
    assert len(two.tables["aligned"]) == 4
    assert Verdict.from_json(verdict.to_json()) == verdict
    with pytest.raises(ValueError, match="same pairs"):
        p3.difference(aligned(0.5, 0.5), aligned(0.5, 0.5)[1:], "cka")


SWEPT = np.random.default_rng(4)


def swept(rho: float, random: float, layer: int = 0) -> p4.FeatureSweep:
    def around(mean: float) -> list[float | None]:
        noise = SWEPT.normal(0, 0.05, len(p4.DOSES))
        return (mean + noise - noise.mean()).tolist()

    told = {"first_order": around(rho), "secant": around(0.9), "lens": around(0.1), "random": around(random)}
    told["first_order"][2] = None  # there was no step
    inside = [{"block": layer, "pattern": 0.1, "attention": 0.2, "mlp": 0.3, "random_mlp": 0.4}]
    numbers = {"tokens": 9, "value": 1.0, "peak": 2.0, "length": 0.5, "predicted": 0.3, "measured": 0.2}
    elsewhere = {"off": 0.0, "on": 0.3, "random_on": None}
    rise = {"rise": 1.0, "random_rise": 0.5, "kl": [0.1] * 6, "random_kl": [0.2] * 6}
    row = {"layer": layer, "feature": 7, "inside": inside} | told | numbers | rise | elsewhere
    return p4.FeatureSweep.from_json(row)


@pytest.mark.parametrize(
    ("rho", "random", "statuses"),
    [(0.9, 0.5, ["holds", "holds"]), (0.4, 0.1, ["fails", "holds"]), (0.9, 0.95, ["holds", "fails"])],
)
def test_p4(rho: float, random: float, statuses: list[str]) -> None:
    ours = [swept(rho + 0.02 * SWEPT.normal(), random + 0.02 * SWEPT.normal(), n % 2) for n in range(60)]
    found = p4.verdict({"MFN": ours, "neurons": [swept(0.2, 0.2)]}, "MFN")
    assert [c.status for c in found.conditions] == statuses
    by_source = {row["source"]: row for row in found.tables["sources"]}
    assert by_source["MFN"]["first_order"] == pytest.approx(rho, abs=0.02)
    assert by_source["MFN"]["good"] == float(rho > 0.8)
    assert by_source["MFN"]["monotone"] == 1.0
    assert by_source["neurons"]["features"] == 1
    assert [(row["source"], row["layer"]) for row in found.tables["layers"]] == [("MFN", 0), ("MFN", 1), ("neurons", 0)]
    assert len(found.tables["doses"]) == 2 * len(p4.DOSES)
    assert found.tables["inside"][1] == {"source": "MFN", "layer": 1, "block": 1} | {
        "pattern": pytest.approx(0.1),
        "attention": pytest.approx(0.2),
        "mlp": pytest.approx(0.3),
        "random_mlp": pytest.approx(0.4),
    }
    assert found.tables["side_effects"][0] == {"source": "MFN", "off": 0.0, "on": 0.3, "random_on": None}
    first, last = found.tables["features"][0], found.tables["features"][-1]
    assert (first["source"], first["feature"], last["source"], last["number"]) == ("MFN", 7, "neurons", 7)
    assert first["rho"] == pytest.approx(rho, abs=0.1)


def costs(above: float) -> p5.Costs:
    tokens = RNG.integers(50, 500, 80)
    twin = tokens * RNG.normal(3.0, 0.4, 80)
    return p5.Costs(twin + tokens * RNG.normal(above, 0.01, 80), twin, tokens)


def test_p5() -> None:
    lost = p5.lost(costs(0.1))
    assert lost.low < np.expm1(0.1) < lost.high
    assert p5.verdict({"reviews": costs(0.02)}, {}, None).status == "holds"
    verdict = p5.verdict({"reviews": costs(0.02), "speeches": costs(0.2)}, {"home": costs(0.1)}, None)
    assert [c.status for c in verdict.conditions] == ["holds", "fails"]
    assert verdict.tables["home"]["home"]["loss"] > verdict.tables["home"]["home"]["twin"]


def test_domains_are_corrected_for_their_number_and_missing_baselines_told() -> None:
    domains = {"reviews": costs(0.02), "speeches": costs(0.2), "laws": costs(0.03)}
    tables = p5.verdict(domains, {}, None, {"reviews": costs(0.5)}).tables
    p = {name: p5.p_value(each) for name, each in domains.items()}
    assert p["speeches"] == 1.0
    assert p["reviews"] == 1 / 2001
    assert {name: row["p_holm"] for name, row in tables["domains"].items()} == {
        "reviews": pytest.approx(3 / 2001), "laws": pytest.approx(2 * p["laws"], abs=2 / 2001), "speeches": 1.0,
    }  # fmt: skip
    assert [(row["baseline"], row["status"]) for row in tables["baselines"]] == [
        ("fine-tuned SAE", "not measured"),
        ("spliced SAE", "measured"),
    ]
    assert tables["spliced SAE"]["reviews"]["lost"]["value"] > 0.5
