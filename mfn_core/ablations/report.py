"""What the runs of a grid came to, as one evidence document."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mfn_core.ablations.grid import Grid, GroupConfig
from mfn_core.ablations.judge import (
    BY_KEY,
    LEVEL,
    MEASURES,
    OWN,
    PRICE,
    Measure,
    Noise,
    Values,
    difference,
    mean,
    values_of,
)
from mfn_core.ablations.measure import Figures, read_figures
from mfn_core.ablations.panels import Point, panels
from mfn_core.ablations.plan import Planned
from mfn_core.errors import ConfigError
from mfn_core.evaluation.verdicts import Condition
from mfn_core.evidence.cells import cell
from mfn_core.evidence.document import Check, Column, Document, Figure, Table
from mfn_core.metrics.bootstrap import Estimate
from mfn_core.provenance import provenance

NAMES = {
    "recon": "reconstruction",
    "rate": "the rate loss",
    "comp": "competition",
    "stab": "stability",
    "util": "utility",
    "auxk": "AuxK",
}
DRAWN = tuple(BY_KEY[key] for key in ("above", "fvu", "near_target", "comp", "overlap", "moved"))
OF_LAYERS = ("fvu", "l0", "dead", "near_target", "comp", "overlap", "moved", "shrinkage")


@dataclass(frozen=True)
class Outcome:
    """A grid and what is known of it.

    Attributes:
        planned: all runs that it asks for.
        figures: of those that are finished, by name.
        failed: of those that failed, by name, why.
    """

    grid: Grid
    planned: Sequence[Planned]
    figures: Mapping[str, Figures]
    failed: Mapping[str, str]

    def values(self) -> Values:
        """All measures."""
        dense = {each.seed: self.figures.get(each.name) for each in self.planned if each.run == self.grid.dense}
        found: dict[str, dict[int, Mapping[str, float]]] = {}
        for each in self.planned:
            if each.name in self.figures:
                own = values_of(self.figures[each.name], dense.get(each.seed))
                found.setdefault(each.run, {})[each.seed] = own
        return found


def gather(grid: Grid, planned: Sequence[Planned], folder: Path, failed: Mapping[str, str] | None = None) -> Outcome:
    """Reads the figures of finished runs.

    Raises:
        ConfigError: two runs were measured on other held-out text.
    """
    read = {each.name: read_figures(folder / each.name, each.config) for each in planned}
    figures = {name: found for name, found in read.items() if found is not None}
    if len({found.held_out for found in figures.values()}) > 1:
        raise ConfigError(f"the runs in {folder} were held to different texts: their figures cannot be compared")
    return Outcome(grid, planned, figures, failed or {})


def document(outcome: Outcome) -> Document:
    """The result.

    Raises:
        ConfigError: no run is finished.
    """
    if not outcome.figures:
        raise ConfigError("no run of the grid is finished: there is nothing to report yet")
    grid, values = outcome.grid, outcome.values()
    noise = Noise(values, [run for run in grid.runs if run != grid.dense])
    checks = [*_earned(outcome, values, noise), *_prices(outcome, values, noise)]
    tables, figures = [], []
    for key, group in grid.groups.items():
        runs = _runs_of(grid, key, values)
        if runs:
            tables.append(_table(f"{key}/runs", group.title, outcome, values, noise, runs, group))
            tables.append(_differences(f"{key}/differences", grid, values, noise, runs))
            figures.append(_figure(f"{key}/figure", group, outcome, values, noise, runs))
    everything = [run for run in grid.runs if run in values]
    tables.append(_table("all/runs", "All settings", outcome, values, noise, everything))
    tables += [_seeds(outcome, values), _layers(outcome), _noise(noise)]
    missing = [each for each in outcome.planned if each.name not in outcome.figures]
    if missing:
        tables.append(_missing(outcome, missing))
    return Document(
        "ablations",
        grid.name,
        grid.title,
        _summary(outcome, checks, missing),
        _settings(outcome),
        provenance(),
        checks=checks,
        tables=tables,
        figures=figures,
        sections={key: group.title for key, group in grid.groups.items()} | {"all": "All runs"},
    )


def _earned(outcome: Outcome, values: Values, noise: Noise) -> list[Check]:
    """Of each pressure that the grid switches off: whether its own figure is worse without it."""
    grid = outcome.grid
    without = [name for name, run in grid.runs.items() if run.off]
    level = LEVEL / max(1, len({grid.runs[name].off for name in without}))
    checks = []
    for run in without:
        off = grid.runs[run].off
        own = OWN[off]
        found = difference(values, noise, run, grid.full, own.key, level)
        worse = None if found is None else _turned(found, own)
        claim = f"{_named(off)} earns its place: without it ({run}), {own.title} is worse beyond seed noise"
        condition = Condition(claim, "above", 0.0, worse, own.unit)
        checks.append(Check(claim, condition.status, _said(outcome, values, run, own, found)))
    return checks


def _prices(outcome: Outcome, values: Values, noise: Noise) -> list[Check]:
    """Of each pressure but utility: whether it costs more cross-entropy, beside the dense twin, than it may."""
    grid, above = outcome.grid, BY_KEY["above"]
    checks = []
    for run in [name for name, each in grid.runs.items() if each.off and each.off != "util"]:
        found = difference(values, noise, run, grid.full, above.key)
        price = None if found is None else Estimate(-found.value, -found.high, -found.low, found.n)
        claim = f"{_named(grid.runs[run].off)} costs no more than {PRICE:g} nats of cross-entropy"
        condition = Condition(claim, "at most", PRICE, price, "nats")
        checks.append(Check(claim, condition.status, _said(outcome, values, run, above, found)))
    return checks


def _named(pressure: str) -> str:
    name = NAMES[pressure]
    return name[0].upper() + name[1:]


def _turned(found: Estimate, measure: Measure) -> Estimate:
    """A difference as by how much it is worse."""
    return found if measure.worse == "higher" else Estimate(-found.value, -found.high, -found.low, found.n)


def _said(outcome: Outcome, values: Values, run: str, measure: Measure, found: Estimate | None) -> str:
    of = {name: values.get(name, {}) for name in (outcome.grid.full, run)}
    if not all(of.values()):
        missing = next(name for name, seeds in of.items() if not seeds)
        return f"the run {missing} is not finished"
    means = [
        sum(each[measure.key] for each in seeds.values()) / len(seeds)
        for seeds in of.values()
        if all(measure.key in each for each in seeds.values())
    ]
    if len(means) < 2:
        return f"{measure.title} was not measured in both"
    said = f"{measure.title} {cell(means[0], measure.kind)} with it, {cell(means[1], measure.kind)} without"
    if found is None:
        return f"{said}; no setting has several seeds, so that nothing is known of their noise"
    ends = " to ".join(cell(end, measure.kind) for end in (found.low, found.high))
    return f"{said} (difference {cell(found.value, measure.kind)}, {ends}) {measure.unit}".strip()


def _runs_of(grid: Grid, key: str, values: Values) -> list[str]:
    """Finished runs of a group in order of its setting, the full one among them; none if there is but that."""
    own = [name for name, run in grid.runs.items() if run.group == key and name in values]
    if not own:
        return []
    return [grid.full, *(name for name in own if name != grid.full)] if grid.full in values else own


def _setting(outcome: Outcome, run: str, path: str) -> Any:
    value: Any = next(each.config for each in outcome.planned if each.run == run).to_json()
    for part in path.split("."):
        if not isinstance(value, dict) or part not in value:
            raise ConfigError(f"a group's setting names {path!r}, which no config has")
        value = value[part]
    return value


def _table(
    key: str,
    title: str,
    outcome: Outcome,
    values: Values,
    noise: Noise,
    runs: Sequence[str],
    group: GroupConfig | None = None,
) -> Table:
    setting = group.setting if group else ""
    columns = [Column("run", "run", "text"), Column("about", "what differs", "text")]
    columns += [Column("setting", setting)] if setting else []
    columns += [Column("seeds", "seeds"), *(Column(m.key, m.title, m.kind, m.unit) for m in MEASURES)]
    rows = []
    for run in runs:
        row: dict[str, Any] = {"run": run, "about": outcome.grid.runs[run].about, "seeds": len(values[run])}
        if setting:
            row["setting"] = _setting(outcome, run, setting)
        for measure in MEASURES:
            found = mean(values, noise, run, measure.key)
            row[measure.key] = None if found is None else found.value
            if found is not None and found.n > 1:
                row |= {f"{measure.key}_low": found.low, f"{measure.key}_high": found.high}
        rows.append(row)
    if setting:
        rows.sort(key=lambda row: row["setting"])
    caption = "Means over seeds; intervals where there are several. Measures of layers are meaned over layers."
    return Table(key, title, columns, rows, caption)


def _differences(key: str, grid: Grid, values: Values, noise: Noise, runs: Sequence[str]) -> Table:
    columns = [Column("run", "run", "text"), *(Column(m.key, m.title, m.kind, m.unit) for m in MEASURES)]
    rows = []
    for run in runs:
        if run == grid.full:
            continue
        row: dict[str, Any] = {"run": run}
        for measure in MEASURES:
            found = difference(values, noise, run, grid.full, measure.key)
            if found is not None:
                row |= {
                    measure.key: found.value,
                    f"{measure.key}_low": found.low,
                    f"{measure.key}_high": found.high,
                }
        rows.append(row)
    caption = f"Less the mean of {grid.full}, with 95 % intervals from seed noise: one that holds 0 may be luck."
    return Table(key, f"Differences from {grid.full}", columns, rows, caption)


def _figure(
    key: str, group: GroupConfig, outcome: Outcome, values: Values, noise: Noise, runs: Sequence[str]
) -> Figure:
    numeric = bool(group.setting)
    points = []
    for run in runs:
        where = _setting(outcome, run, group.setting) if numeric else run
        points.append(Point(where, run, {m.key: mean(values, noise, run, m.key) for m in DRAWN}))
    if numeric:
        points.sort(key=lambda point: point.where)
    spread = "Bars show what seed noise leaves open." if noise.sigma else "One seed each."
    return Figure(
        key,
        group.title,
        f"{', '.join(m.title for m in DRAWN)}. {spread}",
        panels(points, DRAWN, group.setting),
    )


def _seeds(outcome: Outcome, values: Values) -> Table:
    columns = [Column("run", "run", "text"), Column("seed", "seed")]
    columns += [Column(m.key, m.title, m.kind, m.unit) for m in MEASURES]
    columns += [Column("steps", "steps"), Column("parameters", "parameters"), Column("flops", "FLOP a token")]
    rows = []
    for each in outcome.planned:
        if each.name in outcome.figures:
            found = outcome.figures[each.name]
            facts = {"steps": found.step, "parameters": found.parameters, "flops": found.flops}
            rows.append({"run": each.run, "seed": each.seed, **values[each.run][each.seed], **facts})
    return Table("all/seeds", "Each run", columns, rows)


def _layers(outcome: Outcome) -> Table:
    columns = [Column("run", "run", "text"), Column("seed", "seed"), Column("layer", "layer")]
    columns += [Column(BY_KEY[key].key, BY_KEY[key].title, BY_KEY[key].kind) for key in OF_LAYERS]
    rows = [
        {"run": each.run, "seed": each.seed, "layer": int(number), **{key: layer[key] for key in OF_LAYERS}}
        for each in outcome.planned
        if each.name in outcome.figures
        for number, layer in outcome.figures[each.name].layers.items()
    ]
    return Table("all/layers", "Each layer", columns, rows)


def _noise(noise: Noise) -> Table:
    columns = [Column("measure", "measure", "text"), Column("sigma", "standard deviation"), Column("freedom", "ν")]
    rows = [
        {"measure": BY_KEY[key].title, "sigma": sigma, "freedom": noise.freedom[key]}
        for key, sigma in noise.sigma.items()
    ]
    return Table(
        "all/noise", "Seed noise", columns, rows, "Pooled over settings of several seeds; ν: degrees of freedom."
    )


def _missing(outcome: Outcome, missing: Sequence[Planned]) -> Table:
    columns = [Column("run", "run", "text"), Column("seed", "seed"), Column("why", "why", "text")]
    rows = [
        {"run": each.run, "seed": each.seed, "why": outcome.failed.get(each.name, "not finished")} for each in missing
    ]
    return Table("all/missing", "Runs that are left out", columns, rows)


def _summary(outcome: Outcome, checks: Sequence[Check], missing: Sequence[Planned]) -> str:
    earned = checks[: sum(bool(run.off) for run in outcome.grid.runs.values())]
    states = ("holds", "fails", "undecided", "not measured")
    counts = {status: sum(check.status == status for check in earned) for status in states}
    said = f"{len(outcome.figures)} of {len(outcome.planned)} runs, {len(missing)} left out. " if missing else ""
    return (
        f"{said}Of {len(earned)} ways to do without a pressure, {counts['holds']} make worse what it is there for, "
        f"{counts['fails']} do not, {counts['undecided']} are undecided by seed noise, and "
        f"{counts['not measured']} cannot be judged yet."
    )


def _settings(outcome: Outcome) -> dict[str, Any]:
    grid = outcome.grid
    first = next(iter(outcome.figures.values()))
    full = next(each.config for each in outcome.planned if each.run == grid.full)
    return {
        "grid": grid.name,
        "full": full.to_json(),
        "runs": {
            name: {"settings": run.set, "seeds": list(grid.seeds_of(name)), "off": run.off}
            for name, run in grid.runs.items()
        },
        "held_out_tokens": first.tokens,
        "held_out_digest": first.held_out,
        "unigram_nats": first.unigram if math.isfinite(first.unigram) else None,
    }
