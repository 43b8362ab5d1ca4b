"""What a grid file says, what follows from it, and what is refused, each in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from mfn_core.ablations.grid import Grid, load_grid, merged
from mfn_core.ablations.plan import plan
from mfn_core.errors import ConfigError

from .conftest import BASE, GRID, written

SHIPPED = Path(__file__).parents[3] / "configs" / "ablations.toml"


def test_the_order_and_what_runs_have_from_each_other(grid: Grid) -> None:
    planned = plan(grid)
    assert [each.name for each in planned] == ["full-s0", "dense-s0", "no-rate-s0", "full-s1"]
    assert [each.begin for each in planned] == ["", "full-s0", "full-s0", ""]
    assert [each.data for each in planned] == ["", "full-s0", "full-s0", "full-s0"]
    assert [each.config.mfn.rate for each in planned] == [0.5, 0.5, 0.0, 0.5]
    assert [each.config.seed for each in planned] == [0, 0, 0, 1]
    assert not planned[1].config.mfn.equips


def test_a_run_whose_layers_enter_elsewhere_begins_anew(tmp_path: Path) -> None:
    more = GRID + "early = { set = { mfn.enter = 0.1 } }\nlonger = { set = { tokens = 23_040 } }\n"
    found = {each.name: each for each in plan(load_grid(written(tmp_path, more)))}
    assert (found["early-s0"].begin, found["early-s0"].data) == ("", "full-s0")
    assert (found["longer-s0"].begin, found["longer-s0"].data) == ("", "")  # its rows are others


def test_the_shipped_grid_switches_each_pressure_off() -> None:
    grid = load_grid(SHIPPED)
    assert {run.off for run in grid.runs.values()} == {"", "recon", "rate", "comp", "stab", "util", "auxk"}
    found = {each.name: each for each in plan(grid)}
    full = found["full-s0"].config.mfn
    for name in ("recon", "rate", "comp", "stab", "auxk"):
        assert getattr(full, name) > 0
        assert getattr(found[f"no-{name}-s0"].config.mfn, name) == 0
    assert {each.begin for each in found.values() if each.seed == 0 and each.run != "full"} == {"full-s0"}


def test_nested_settings_are_merged() -> None:
    assert merged({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 4}, "e": {"f": 5}}) == {
        "a": {"b": 4, "c": 2},
        "d": 3,
        "e": {"f": 5},
    }


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('name = "tiny"', 'nam = "tiny"', "unknown setting nam"),
        ('name = "tiny"', 'name = "a b"', "'a b' is no name"),
        ('base = "base.toml"', 'base = "nowhere.toml"', "cannot read the config .*nowhere.toml"),
        ("seeds = [0, 1]", "seeds = [0, 0]", "names one twice"),
        ('off = "rate"', 'off = "weather"', "off is one of recon, rate"),
        ('group = "losses"', 'group = "sizes"', "group 'sizes', which is not described"),
        ("dense = {", "other = {", "dense names the run 'dense', which is not described"),
        ("set = { mfn.layers = [] }", "about = 'x'", "run dense has layers of features, and is the dense one"),
        ("mfn.rate = 0.0", "mfn.layers = []", "run no-rate has no layers of features"),
        ("mfn.rate = 0.0", "mfn.rat = 0.0", "run no-rate: unknown setting mfn.rat"),
        ("mfn.rate = 0.0", "mfn.k = 9", "run no-rate: mfn.k_first must lie"),
        ("mfn.rate = 0.0", "data.valid_tokens = 960", "would not read the same text"),
        ("mfn.rate = 0.0", "model = 3", "run no-rate: model is a section"),
    ],
)
def test_what_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in GRID
    with pytest.raises(ConfigError, match=message) as found:
        plan(load_grid(written(tmp_path, GRID.replace(old, new))))
    assert "\n" not in str(found.value)


def test_seeds_that_read_other_texts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data\.seed"):
        plan(load_grid(written(tmp_path, base=BASE.replace("seed = 0\n", ""))))
