"""The benchmark harness: what it lists, times, judges and prints."""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from unittest.mock import patch

import pytest

from benchmarks import harness
from benchmarks.__main__ import available, main
from benchmarks.harness import Metric, Paired, Seconds, paired, percentile, summary


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


def test_processor_time_has_a_ratio_of_its_own() -> None:
    timing = Paired.of([(Seconds(2.0, 3.0), Seconds(1.0, 1.0)), (Seconds(4.0, 8.0), Seconds(2.0, 2.0))])
    assert timing.ratio().value == pytest.approx(2.0)
    assert timing.processor_ratio().value == pytest.approx(3.5)


PEER = "tests.repo.sleeping_peer"


def test_a_peer_is_told_what_to_time_and_takes_turns() -> None:
    with harness.Peer(sys.executable, PEER) as peer:
        assert peer.prepare("sleeping", seconds=0) == {"package": f"torch {version('torch')}"}
        peer.prepare("sleeping", seconds=0.01)
        timing = harness.against(lambda: None, peer)
    assert len(timing.first) == len(timing.first_processor) == 20
    assert len(timing.second) == len(timing.second_processor) == 20
    assert min(timing.second) >= 0.01  # it slept as long as it was told last
    assert sum(timing.second_processor) < sum(timing.second)  # and had nothing to do meanwhile


def test_a_peer_that_fails_says_so() -> None:
    with harness.Peer(sys.executable, PEER) as peer:
        peer.prepare("ending", status=3)
        with pytest.raises(RuntimeError, match="ended with status 3"):
            peer.run()


def test_only_a_benchmark_with_a_peer_takes_one(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["overhead", "--peer", sys.executable])
    assert "compares with no peer" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["overhead", "--features", "10"], ["index_memory", "--features", "0"]])
def test_only_a_benchmark_of_features_takes_their_number(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(arguments)
    assert f"takes no --features {arguments[-1]}" in capsys.readouterr().err


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
@pytest.mark.parametrize(
    "name",
    [
        "browse",
        "campaigns",
        "dashboard",
        "effect",
        "exchange",
        "index",
        "index_memory",
        "index_peer",
        "inspect",
        "labels",
        "layer",
        "meaning",
        "overhead",
        "screening",
        "steer",
        "storage",
        "training",
        "weights",
    ],
)
def test_quick_run_gives_finite_figures(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--quick", "--json"]) == 0
    metrics = json.loads(capsys.readouterr().out.splitlines()[-1])["metrics"]
    assert all(isinstance(metric["value"], (int, float)) for metric in metrics.values())
