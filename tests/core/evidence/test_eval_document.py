"""Verdicts as documents: every table becomes rows, figures have the numbers, what is missing or odd breaks nothing."""

from __future__ import annotations

from typing import Any

import pytest

from mfn_core.evidence.eval_document import eval_document, summary
from mfn_core.evidence.eval_figures import figures_of
from mfn_core.evidence.html import to_html
from mfn_core.evidence.numbers import numbers
from mfn_core.evidence.verdict_tables import rows_of, table


def estimate(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.125, "high": value + 0.125, "n": 5}


def layer(near: float) -> dict[str, Any]:
    return {"near_target": near, "overlap": near / 2, "rates": {"edges": [0.25, 1.0, 4.0], "counts": [1, 3]}}


def steered(source: str, concept: str, share: float) -> dict[str, Any]:
    shares = {"with_nothing": 0.0, "with_other": 0.25, "with_detector": share}
    return {"source": source, "concept": concept, "layer": 1, **shares, "steers": "yes"}


def probe(source: str, concept: str, auc: float) -> dict[str, Any]:
    best = 7 if source == "MFN" else None
    return {
        "concept": concept,
        "source": source,
        "auc": {"1": auc, "full": 0.875},
        "layers": {"1": 2, "full": 3},
        "best": best,
    }


TABLES: dict[str, dict[str, Any]] = {
    "P1": {"layers": {"MFN": {"0": layer(0.5), "1": layer(0.75)}, "random": {"0": layer(0.25)}}},
    "P2": {
        "means": {"MFN": {"1": estimate(0.75), "full": estimate(0.875)}},
        "gains": {"SAE": {"1": estimate(0.25)}},
        "concepts": [probe("MFN", "a", 0.625), probe("MFN", "b", 0.75), probe("SAE", "a", 0.5)],
    },
    "P3": {
        "aligned": [
            {"source": source, "pair": "0–1", "layer": 4, "matched": matched, "cka": None}
            for source, matched in (("MFN", 0.5), ("random", 0.25))
        ],
        "quantiles": [{"source": "MFN", "level": 0.5, "correlation": value} for value in (0.25, 0.75)],
        "best": [{"source": "MFN", "layer": 4, "feature": 12, "other": 13, "correlation": 0.875}],
    },
    "P4": {
        "doses": [{"source": "MFN", "layer": 1, "feature": 3, "predicted": 0.5, "measured": 0.625, "rho": 0.75}],
        "steered_concepts": [
            steered("SAE", "a", 1.0) | {"number": 4},
            steered("MFN", "a", 0.5) | {"feature": 7},
            steered("MFN", "b", 0.75) | {"feature": 8},
        ],
    },
    "P5": {"domains": {"reviews": {"lost": estimate(0.25), "texts": 3}}, "home": {}, "fine-tuned SAE": {}},
}
BESIDE = {"layers": [{"layer": 0, "fvu": 0.25}], "cost": [{"measure": "above", "nats": estimate(0.5)}]}


def verdicts() -> list[dict[str, Any]]:
    return [
        {"name": name, "claim": "", "status": "undecided", "conditions": [], "tables": tables}
        for name, tables in TABLES.items()
    ]


def test_every_table_is_shown_and_every_figure_has_its_numbers() -> None:
    document = eval_document("m", verdicts(), {"model": "f"}, {}, BESIDE)
    shown = {each.key for each in document.tables}
    assert shown == {
        *("p1/layers", "p2/by_concept", "p2/means", "p2/gains", "p2/concepts"),
        *("p3/aligned", "p3/quantiles", "p3/best", "p4/doses", "p4/steered_concepts", "p5/domains"),
        *("beside/layers", "beside/cost"),
    }
    drawn = {figure.key: numbers(figure.figure).rows for figure in document.figures}
    assert drawn["p1/rates"] == [
        ["layer 0", 0.5, 0.25],
        ["layer 0", 2.0, 0.75],
        ["layer 1", 0.5, 0.25],
        ["layer 1", 2.0, 0.75],
    ]
    assert drawn["p1/near"] == [["MFN", "layer 0", 0.5], ["MFN", "layer 1", 0.75]]
    assert drawn["p1/overlap"][-1] == ["random", "layer 0", 0.125]
    assert drawn["p2/means"] == [["MFN", "1", 0.75, 0.625, 0.875], ["MFN", "all", 0.875, 0.75, 1.0]]
    assert drawn["p2/concepts"] == [["MFN", 0.75, "b"], ["MFN", 0.625, "a"], ["SAE", 0.5, "a"]]
    assert drawn["p3/matched"] == [["MFN", 0.5, "layer 4, seeds 0–1"], ["random", 0.25, "layer 4, seeds 0–1"]]
    assert drawn["p3/quantiles"] == [["MFN", 0.5, 0.5]]
    assert drawn["p4/doses-measured"][0][:3] == ["MFN", 0.5, 0.625]
    assert drawn["p4/doses-rho"] == [["MFN", 0.75, 1.0]]
    assert drawn["p4/steered_concepts"] == [  # of the model alone, what is steered most on top
        ["detector", 0.75, "b"],
        ["detector", 0.5, "a"],
        ["another feature", 0.25, "b"],
        ["another feature", 0.25, "a"],
        ["nothing", 0.0, "b"],
        ["nothing", 0.0, "a"],
    ]
    assert drawn["p5/lost"] == [["never trained on", 0.25, 0.125, 0.375, "reviews"]]
    assert "p3/cka" not in drawn  # nothing was measured
    assert [title for title, _, _ in document.by_section()] == list(document.sections.values())
    assert to_html(document).count('class="plot"') == len(document.figures)


def test_features_behind_numbers_are_links() -> None:
    by_key = {each.key: each for each in eval_document("m", verdicts(), {}, {}).tables}
    concept = by_key["p2/by_concept"].rows[0]
    assert (concept["concept"], concept["feature"], concept["MFN 1"]) == ("b", [2, 7], 0.75)
    for key in ("p2/by_concept", "p3/best", "p4/doses", "p4/steered_concepts"):
        assert "feature" in {column.kind for column in by_key[key].columns}, key
    assert by_key["p3/best"].rows[0]["feature"] == [4, 12]


def test_intervals_stand_beside_their_numbers() -> None:
    found = table("p5/domains", TABLES["P5"]["domains"])
    assert found is not None
    assert [column.key for column in found.columns] == ["name", "lost", "texts"]
    assert found.rows == [{"name": "reviews", "lost": 0.25, "lost_low": 0.125, "lost_high": 0.375, "texts": 3}]


@pytest.mark.parametrize(
    ("value", "rows"),
    [
        (
            {"a": 1, "b": estimate(0.5)},
            [{"name": "a", "value": 1}, {"name": "b", "value": 0.5, "value_low": 0.375, "value_high": 0.625}],
        ),
        ({"MFN": {"3": {"x": 1}}}, [{"source": "MFN", "layer": 3, "x": 1}]),
        ({"MFN": [{"x": {"y": 2}}]}, [{"source": "MFN", "x y": 2}]),
        ([{"x": list(range(99)), "z": [1, 2]}], [{"z": [1, 2]}]),
        ({}, []),
        (None, []),
        ([1, "a"], []),
    ],
)
def test_any_shape_becomes_rows(value: Any, rows: list[dict[str, Any]]) -> None:
    assert rows_of(value) == rows


@pytest.mark.parametrize(
    "tables", [None, {}, {"layers": {}, "concepts": [], "aligned": {}, "domains": {}}, {"layers": 3}]
)
def test_what_is_not_there_gives_no_figure(tables: Any) -> None:
    for name in (*TABLES, "P6"):
        assert figures_of({"name": name, "tables": tables}) == []


def test_the_summary_says_how_each_stands() -> None:
    stands = zip(("P1", "P2", "P3", "P4", "P5"), ("fails", "holds", "not measured", "undecided", "fails"), strict=True)
    given = [{"name": name, "status": status} for name, status in stands]
    assert summary(given) == "P2 holds; P1 and P5 fail; P4 is undecided; P3 is not measured."
    assert summary([]) == "Nothing was measured."
