"""Engineering monosemanticity, as published, and whether an MFN does it; from training to the document."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from mfn_core.evidence.document import Check, Column, Document, Status, Table
from mfn_core.intervals import Share
from mfn_core.metrics.bootstrap import Estimate, mean_of
from mfn_core.provenance import provenance
from mfn_core.toy import engineering_figures as figures
from mfn_core.toy.engineering import MONOSEMANTIC, Engineered, Neurons, train
from mfn_core.toy.recovery import RECOVERED, UNITS, Recovery, recover
from mfn_core.toy.work import Once, Progress, Tell, Work, check

NAME = "toy-engineering"
DECAY = 2.0
"""Of negative biases, in units of the learning rate (ours). The source has 0.03 and far more steps; it is trained, too:
in so few, most neurons that start silent stay so."""
SOURCE_DECAY = 0.03
MIDDLE = 5e-3  # the learning rate of models that do not differ in it
NEAR = 1.1  # losses of which one is at most so many times the other count as near-equal
BINS = 20  # of the histogram of r

TASKS = {"decoder": "feature decoder", "reprojector": "random re-projector", "absolute": "absolute value"}

Row = dict[str, Any]
"""Of one trained model: its case, loss, and what its neurons stand for."""


@dataclass(frozen=True)
class Plan:
    """What is trained.

    Attributes:
        grid: tasks by learning rates by biases at the start.
        neurons: models that differ in the number of neurons.
        recovery: worlds in which units of several kinds look for what was planted; they differ in the seed.
    """

    grid: tuple[Engineered, ...]
    neurons: tuple[Engineered, ...]
    recovery: tuple[Recovery, ...]

    def settings(self) -> dict[str, Any]:
        """All of it as plain data."""
        return dataclasses.asdict(self)


def plan(quick: bool, seed: int) -> Plan:
    """What is trained in the quick setting, or in the full one, which has the source's sizes."""
    n, m, k, steps = (256, 48, 512, 1200) if quick else (512, 64, 1024, 2000)
    decoder = Engineered(features=n, inputs=m, neurons=k, density=1 / 64, steps=steps, seed=seed)
    rates = (2e-3, MIDDLE, 1e-2)
    tasks = [replace(decoder, lr=lr) for lr in rates]
    tasks += [
        replace(decoder, task="reprojector", lr=MIDDLE),
        replace(decoder, task="absolute", neurons=2 * k, lr=MIDDLE),
    ]
    grid = [case for task in tasks for case in (task, replace(task, bias=-1.0, bias_decay=DECAY))]
    grid.append(replace(decoder, lr=MIDDLE, bias=-1.0, bias_decay=SOURCE_DECAY))
    counts = (k // 4, k // 2, k, 2 * k)
    world = Engineered(
        features=128, inputs=48, neurons=256, density=1 / 64, bias_decay=DECAY, lr=MIDDLE, steps=800 if quick else 2500
    )
    return Plan(
        tuple(grid),
        tuple(replace(decoder, lr=MIDDLE, neurons=count) for count in counts),
        tuple(Recovery(replace(world, seed=seed + other), 6) for other in range(3 if quick else 5)),
    )


def study(what: Plan, once: Once, tell: Tell) -> Document:
    """Trains all that is planned, as far as it is not kept yet, and says what was found.

    Args:
        what: the plan.
        once, tell: of `Work`.
    """
    cases = list(dict.fromkeys((*what.grid, *what.neurons)))  # some stand in both
    work = Work(once, tell, len(cases) + len(what.recovery))
    rows = {
        case: work.piece(f"model-{number}", _words(case), partial(_trained, case)) for number, case in enumerate(cases)
    }
    worlds = [
        work.piece(f"recovery-{number}", "looking for planted features", partial(_recovered, case))
        for number, case in enumerate(what.recovery)
    ]
    grid, counts = [rows[case] for case in what.grid], [rows[case] for case in what.neurons]
    checks = [*_bias_checks(grid), _rates_check(grid), _neurons_check(counts), *_recovery_checks(worlds)]
    held = sum(each.status == "holds" for each in checks)
    return Document(
        kind="toy",
        name=NAME,
        title="Engineering monosemanticity in toy models, and whether an MFN does it",
        summary=f"{held} of {len(checks)} claims hold here. Of what was planted, {_found_by('MFN', worlds)}; "
        f"{_found_by('SAE', worlds)}; {_found_by('engineered neurons', worlds)}.",
        settings=what.settings(),
        made=provenance(),
        checks=checks,
        tables=[
            _models_table("models/grid", "Tasks, learning rates and biases at the start", grid),
            _models_table("neurons/counts", "Numbers of neurons", counts),
            _recovery_table(what.recovery[0], worlds),
        ],
        figures=[
            figures.purity(grid, [_words_of(row) for row in grid]),
            figures.loss_and_share(grid, [_words_of(row) for row in grid]),
            figures.biases(grid, [_words_of(row) for row in grid]),
            figures.curves(grid, [_words_of(row) for row in grid]),
            figures.by_neurons(counts),
            figures.recovery(UNITS, {key: _estimates(worlds, key) for key in MEASURES}, MEASURES),
        ],
        sections={
            "models": "Near-equal losses, different neurons",
            "neurons": "More neurons",
            "recovery": "Who finds what was planted: MFN, SAE, neurons",
        },
    )


def _words(case: Engineered) -> str:
    start = "bias 0" if case.bias == 0 else f"bias {case.bias:g}, decay {case.bias_decay:g}"
    return f"{TASKS[case.task]}, {case.neurons} neurons, learning rate {case.lr:g}, {start}"


def _words_of(row: Row) -> str:
    return _words(Engineered(**row["case"]))


def _trained(case: Engineered, on: Progress) -> Row:
    _, outcome = train(case, on)
    return {
        "case": dataclasses.asdict(case),
        "loss": round(outcome.loss, 4),
        "neurons": case.neurons,
        **_counts(outcome.neurons),
        "bias": _histogram(outcome.bias.numpy(), -1.5, 0.5),
        "curve": [[step, round(loss, 4)] for step, loss in outcome.curve],
    }


def _counts(found: Neurons) -> Row:
    return {
        "live": len(found.purity) - found.silent,
        "monosemantic": found.monosemantic,
        "covered": found.covered,
        "r": _histogram(found.purity[~found.purity.isnan()].numpy(), 0.0, 1.0),
    }


def _histogram(values: Any, low: float, high: float) -> list[list[float]]:
    """Middles of bins, and how many lie in each; what lies beyond the ends counts with the last ones."""
    counts, edges = np.histogram(np.clip(values, low, high), BINS, (low, high))
    return [[round(float(a + b) / 2, 4), int(n)] for a, b, n in zip(edges, edges[1:], counts, strict=False)]


def _recovered(case: Recovery, on: Progress) -> dict[str, dict[str, float | None]]:
    found = recover(case, on)
    return {name: {k: None if v != v else round(v, 4) for k, v in one._asdict().items()} for name, one in found.items()}


def share(row: Row) -> Share:
    """Of neurons that fire for a single feature at all, those that fire for one alone."""
    return Share(row["monosemantic"], row["live"])


def _pairs(grid: Sequence[Row]) -> list[tuple[Row, Row]]:
    """Models that differ in the bias at the start alone (and its decay): first without, then with."""
    plain = [row for row in grid if row["case"]["bias"] == 0]
    other = {(r["case"]["task"], r["case"]["lr"]): r for r in grid if r["case"]["bias_decay"] == DECAY}
    return [(row, other[row["case"]["task"], row["case"]["lr"]]) for row in plain]


def _bias_checks(grid: Sequence[Row]) -> list[Check]:
    pairs = _pairs(grid)
    apart = [share(new).interval()[0] > share(old).interval()[1] for old, new in pairs]
    near = [new["loss"] <= NEAR * old["loss"] for old, new in pairs]
    highest = max((new for _, new in pairs), key=lambda row: share(row).value)
    told = "; ".join(
        f"{TASKS[old['case']['task']]} at {old['case']['lr']:g}: {share(old).value:.0%} → {share(new).value:.0%}, "
        f"loss {old['loss']:.3f} → {new['loss']:.3f}"
        for old, new in pairs
    )
    return [
        check(
            "Biases that start at −1 make more of the live neurons monosemantic than biases that start at 0 (intervals "
            "of the shares do not meet), for every task and learning rate",
            all(apart),
            told,
        ),
        check(
            f"They do so at near-equal loss or less (at most {NEAR} times)",
            all(near),
            f"{sum(near)} of {len(near)} pairs",
        ),
        check(
            "They can make nearly all live neurons monosemantic (90 % or more)",
            share(highest).value >= 0.9,
            f"at most {share(highest).value:.0%} ({_words_of(highest)})",
        ),
    ]


def _rates_check(grid: Sequence[Row]) -> Check:
    rows = [row for row in grid if row["case"]["task"] == "decoder" and row["case"]["bias"] == 0]
    close = [
        (max(a["monosemantic"], b["monosemantic"]), min(a["monosemantic"], b["monosemantic"]))
        for a in rows
        for b in rows
        if a is not b and b["loss"] <= a["loss"] * NEAR and a["loss"] <= b["loss"] * NEAR
    ]
    told = ", ".join(f"{row['monosemantic']} at {row['case']['lr']:g} (loss {row['loss']:.3f})" for row in rows)
    return check(
        f"Learning rates lead to very different counts of monosemantic neurons (twice as many) at near-equal loss "
        f"(at most {NEAR} times)",
        any(more >= 2 * max(1, less) for more, less in close),
        f"bias 0: {told}",
    )


def _neurons_check(rows: Sequence[Row]) -> Check:
    counts = [row["monosemantic"] for row in rows]
    return check(
        "More neurons, more of them monosemantic, and less loss",
        counts == sorted(set(counts)) and all(a["loss"] > b["loss"] for a, b in itertools.pairwise(rows)),
        ", ".join(f"{row['monosemantic']} of {row['neurons']} (loss {row['loss']:.3f})" for row in rows),
    )


MEASURES = {
    "cosine": "mean greatest cosine",
    "identified": f"identified: matched one to one at cosine ≥ {RECOVERED}",
    "read": f"read: a unit correlates ≥ {RECOVERED}",
}


def _estimates(worlds: Sequence[dict[str, Row]], key: str) -> dict[str, Estimate]:
    return {name: mean_of([world[name][key] for world in worlds]) for name in UNITS}


def _found_by(name: str, worlds: Sequence[dict[str, Row]]) -> str:
    found = {key: _estimates(worlds, key)[name].value for key in ("identified", "read")}
    return f"{name}: {found['identified']:.0%} by direction, {found['read']:.0%} by activation"


def _recovery_checks(worlds: Sequence[dict[str, Row]]) -> list[Check]:
    found = []
    for other in ("SAE", "engineered neurons"):
        for key, what in (("identified", "has its direction in"), ("read", "is read by a unit of")):
            paired = mean_of([world["MFN"][key] - world[other][key] for world in worlds])
            status: Status = "holds" if paired.low > 0 else "fails" if paired.high <= 0 else "undecided"
            mine, its = (mean_of([world[name][key] for world in worlds]).value for name in ("MFN", other))
            found.append(
                Check(
                    f"More of what was planted {what} the MFN than the {other}",
                    status,
                    f"{mine:.1%} against {its:.1%}; difference {paired.value:+.1%} (95 %: {paired.low:+.1%} to "
                    f"{paired.high:+.1%}, {paired.n} seeds)",
                )
            )
    return found


def _models_table(key: str, title: str, rows: Sequence[Row]) -> Table:
    cells = []
    for row in rows:
        low, high = share(row).interval()
        case = row["case"]
        cells.append(
            {name: row[name] for name in ("neurons", "loss", "live", "monosemantic", "covered")}
            | {"task": TASKS[case["task"]], "features": case["features"]}
            | {name: case[name] for name in ("lr", "bias", "bias_decay")}
            | {"share": share(row).value, "share_low": low, "share_high": high}
        )
    columns = [
        Column("task", "task", "text"),
        Column("features", "features"),
        Column("neurons", "neurons"),
        Column("lr", "learning rate"),
        Column("bias", "bias at the start"),
        Column("bias_decay", "bias decay"),
        Column("loss", "loss"),
        Column("live", "live neurons"),
        Column("monosemantic", "monosemantic"),
        Column("share", "of the live ones", "share"),
        Column("covered", "features with one"),
    ]
    caption = (
        f"Loss: squared error in units of the target's mean square. Live: fires for some single feature. Monosemantic: "
        f"r > {MONOSEMANTIC}."
    )
    return Table(key, title, columns, cells, caption)


def _recovery_table(case: Recovery, worlds: Sequence[dict[str, Row]]) -> Table:
    rows = []
    for name in UNITS:
        row: Row = {"units": name}
        for key in (*MEASURES, "loss"):
            values = [world[name][key] for world in worlds]
            if None not in values:
                estimate = mean_of(values)
                row |= {key: estimate.value, f"{key}_low": estimate.low, f"{key}_high": estimate.high}
        rows.append(row)
    columns = [
        Column("units", "units", "text"),
        Column("cosine", "mean greatest cosine"),
        Column("identified", "identified", "share"),
        Column("read", "read", "share"),
        Column("loss", "loss of the model"),
    ]
    world = case.world
    caption = (
        f"{world.features} planted features in {world.inputs} dimensions, {world.neurons} units of each kind, K = "
        f"{case.k} for MFN and SAE; means over {len(worlds)} seeds with bootstrap intervals. The SAE's model is "
        "the one of the plain neurons."
    )
    return Table("recovery/units", "How much of what was planted is found", columns, rows, caption)
