"""The benchmark harness: what it lists, times, judges and prints."""

from __future__ import annotations

import json
from unittest.mock import patch

import pytest

from benchmarks import harness
from benchmarks.__main__ import available, main
from benchmarks.harness import Metric, Paired, paired, percentile, summary


def test_each_module_is_listed_with_a_description() -> None:
    found = available()
    assert {"layer", "overhead"} <= set(found)
    assert not {"harness", "__init__"} & set(found)
    assert all(found.values())


def test_pairs_alternate_their_order() -> None:
    calls: list[str] = []
    paired(lambda: calls.append("a"), lambda: calls.append("b"), pairs=20, warmup=0)
    assert "".join(calls) == "abba" * 10


def test_ratio_is_the_median_over_pairs() -> None:
    # Pair 3 fell on a busy moment, which slowed both sides; in pair 5 only one side was disturbed.
    timing = Paired(first=[2.0, 2.0, 20.0, 2.0, 8.0], second=[1.0, 1.0, 10.0, 1.0, 1.0])
    ratio = timing.ratio(target=1.5)
    assert ratio.value == pytest.approx(2.0)
    assert ratio.met is False


def test_few_pairs_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 20 pairs"):
        paired(lambda: None, lambda: None, pairs=19)


@pytest.mark.parametrize(
    ("metric", "met"),
    [
        (Metric(1.0, "×", target=1.0), True),
        (Metric(1.1, "×", target=1.0), False),
        (Metric(0.9, "×", target=0.95, better="higher"), False),
        (Metric(0.95, "×", target=0.95, better="higher"), True),
        (Metric(3.0, "ms"), None),
    ],
)
def test_target_is_met_on_its_better_side(metric: Metric, met: bool | None) -> None:
    assert metric.met is met


def test_summary_and_percentile() -> None:
    values = [5.0, 1.0, 3.0, 2.0, 4.0]
    found = summary(values, "ms")
    assert (found.value, found.spread) == (3.0, (2.0, 4.0))
    assert percentile(values, 0.5) == 3.0
    assert percentile(values, 0.95) == pytest.approx(4.8)
    assert percentile([7.0], 0.99) == 7.0


def test_json_is_the_last_line(capsys: pytest.CaptureFixture[str]) -> None:
    result = harness.Result({"ratio": Metric(1.25, "×", target=1.5)}, {"d": 8})
    with patch("benchmarks.layer.run", return_value=result):
        assert main(["layer", "--quick", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert printed["name"] == "layer"
    assert printed["settings"] == {"d": 8}
    assert printed["metrics"]["ratio"] == {
        "value": 1.25,
        "unit": "×",
        "target": 1.5,
        "better": "lower",
        "spread": None,
    }
    assert {"cpu", "cores", "torch", "torch_threads"} <= set(printed["machine"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["layer", "overhead", "training"])
def test_quick_run_gives_finite_figures(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--quick", "--json"]) == 0
    metrics = json.loads(capsys.readouterr().out.splitlines()[-1])["metrics"]
    assert all(isinstance(metric["value"], (int, float)) for metric in metrics.values())
