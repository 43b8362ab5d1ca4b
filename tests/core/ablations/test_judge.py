"""Noise, differences and checks, on figures with known answers."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from mfn_core.ablations.grid import Grid
from mfn_core.ablations.judge import Noise, difference, mean, values_of
from mfn_core.ablations.measure import Figures
from mfn_core.ablations.plan import plan
from mfn_core.ablations.report import Outcome, document

LAYER = {"fvu": 0.1, "l0": 4.0, "dead": 0.0, "near_target": 0.9, "comp": 1.0, "overlap": 0.2, "moved": 0.3}
LAYER["shrinkage"] = 0.01
EQUIPPED = Figures(200, "digest", 480, 3.0, 5.0, 1200.0, 900, {"0": LAYER, "1": LAYER | {"fvu": 0.3}})
DENSE = Figures(200, "digest", 480, 2.8, 5.0, 1000.0, 500, {})
T_OF_ONE, T_OF_ONE_98 = 12.7062, 25.4517  # Student's t with one degree of freedom at 0.975 and 0.9875


def near(share: float, loss: float = 3.0) -> Figures:
    layers = {name: {**layer, "near_target": share} for name, layer in EQUIPPED.layers.items()}
    return replace(EQUIPPED, layers=layers, loss=loss)


def test_the_measures_of_a_run_beside_its_twin() -> None:
    found = values_of(EQUIPPED, DENSE)
    assert found["fvu"] == pytest.approx(0.2)
    assert found["above"] == pytest.approx(0.2)
    # of the 2.2 nats between unigrams and the twin it gets 2.0, for 1.2 times the work
    assert found["per_flop"] == pytest.approx(2.0 / 2.2 / 1.2)
    assert values_of(DENSE, DENSE) == {"loss": 2.8, "above": 0.0, "per_flop": 1.0}
    assert "above" not in values_of(EQUIPPED, None)


def test_noise_is_pooled_over_settings_of_several_seeds() -> None:
    values = {
        "full": {0: {"loss": 1.0}, 1: {"loss": 1.2}},
        "other": {0: {"loss": 5.0}, 1: {"loss": 5.4}, 2: {"loss": 5.2}},
        "once": {0: {"loss": 9.0}},
        "dense": {0: {"loss": 0.0}, 1: {"loss": 100.0}},
    }
    noise = Noise(values, ["full", "other", "once"])
    assert noise.freedom == {"loss": 3}
    assert noise.sigma["loss"] == pytest.approx(math.sqrt((0.02 + 0.08) / 3))
    found = difference(values, noise, "once", "full", "loss")
    assert found is not None
    assert found.value == pytest.approx(7.9)
    half = 3.18245 * noise.sigma["loss"] * math.sqrt(1 + 1 / 2)  # t of 3 at 0.975
    assert (found.low, found.high) == (pytest.approx(7.9 - half, rel=1e-4), pytest.approx(7.9 + half, rel=1e-4))
    alone = mean(values, noise, "other", "loss")
    assert alone is not None
    assert alone.high - alone.value == pytest.approx(3.18245 * noise.sigma["loss"] / math.sqrt(3), rel=1e-4)
    assert difference(values, noise, "once", "full", "fvu") is None
    assert difference(values, Noise(values, ["once"]), "once", "full", "loss") is None


@pytest.mark.parametrize(
    ("without", "status"), [(0.2, "holds"), (0.88, "undecided"), (1.5, "fails"), (None, "not measured")]
)
def test_a_pressure_earns_its_place_where_its_own_figure_is_worse_without_it(
    grid: Grid, without: float | None, status: str
) -> None:
    grid = replace(grid, runs={**grid.runs, "dense": replace(grid.runs["dense"], seeds=(0, 1))})
    figures = {"full-s0": near(0.89, 3.0), "full-s1": near(0.91, 3.5), "dense-s0": DENSE}
    figures["dense-s1"] = replace(DENSE, loss=3.298)  # seeds of the Transformer are no noise of what layers cost
    if without is not None:
        figures["no-rate-s0"] = near(without, 2.9)
    found = document(Outcome(grid, plan(grid), figures, {}))
    earned, price = found.checks
    assert earned.status == status
    assert price.status == ("not measured" if without is None else "fails")
    if without is None:
        assert earned.found == "the run no-rate is not finished"
        missing = next(table for table in found.tables if table.key == "all/missing")
        assert missing.rows == [{"run": "no-rate", "seed": 0, "why": "not finished"}]
        assert found.summary.startswith("4 of 5 runs, 1 left out")
        return
    # the table has the plain interval, the one check is of one pressure, so that its level is the same
    row = next(table for table in found.tables if table.key == "losses/differences").rows[0]
    half = T_OF_ONE * math.sqrt(0.0002) * math.sqrt(1 + 1 / 2)
    assert row["near_target"] == pytest.approx(without - 0.9)
    assert row["near_target_high"] == pytest.approx(without - 0.9 + half, rel=1e-4)


def test_what_is_judged_together_is_judged_more_strictly(grid: Grid) -> None:
    runs = {**grid.runs, "no-recon": replace(grid.runs["no-rate"], off="recon")}
    two = replace(grid, runs=runs)
    figures = {"full-s0": near(0.89), "full-s1": near(0.91), "no-rate-s0": near(0.5), "no-recon-s0": near(0.9)}
    said = document(Outcome(two, plan(two), figures, {})).checks[0]
    half = T_OF_ONE_98 * math.sqrt(0.0002) * math.sqrt(1 + 1 / 2)
    assert half > 0.4
    assert (said.status, f"{100 * (half - 0.4):.1f}%)" in said.found) == ("undecided", True)


def test_without_seeds_nothing_is_decided(grid: Grid) -> None:
    figures = {"full-s0": near(0.9), "no-rate-s0": near(0.1)}
    found = document(Outcome(grid, plan(grid), figures, {}))
    assert {check.status for check in found.checks} == {"not measured"}
    assert "nothing is known of their noise" in found.checks[0].found
