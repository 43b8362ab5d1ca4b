"""Engineering monosemanticity, as published, from training to the document."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from mfn_core.evidence.document import Check, Column, Document, Table
from mfn_core.intervals import Share
from mfn_core.provenance import provenance
from mfn_core.toy import engineering_figures as figures
from mfn_core.toy.engineering import MONOSEMANTIC, Engineered, Neurons, train
from mfn_core.toy.work import Once, Progress, Tell, Work, check

NAME = "toy-engineering"
SOURCE_DECAY, SOURCE_STEPS = 0.03, 131_072
"""Decay of negative biases in units of the learning rate, and how long it has to work. In far fewer steps most neurons
that start silent would stay so; ours decay as much in all."""
RATES = (2e-3, 3e-3, 5e-3)  # Adam's; the source's are of LAMB, which counts a step in units of the weights' norm
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
    """

    grid: tuple[Engineered, ...]
    neurons: tuple[Engineered, ...]

    def settings(self) -> dict[str, Any]:
        """All of it as plain data."""
        return dataclasses.asdict(self)


def plan(quick: bool, seed: int) -> Plan:
    """What is trained in the quick setting, or in the full one, which has the source's sizes."""
    n, m, k, steps = (256, 48, 512, 1200) if quick else (512, 64, 1024, 3000)
    decoder = Engineered(features=n, inputs=m, neurons=k, density=1 / 64, steps=steps, seed=seed)
    tasks = [replace(decoder, lr=lr) for lr in RATES]
    tasks += [
        replace(decoder, task="reprojector", lr=RATES[-1]),
        replace(decoder, task="absolute", neurons=2 * k, lr=RATES[-1]),
    ]
    decay = round(SOURCE_DECAY * SOURCE_STEPS / steps, 2)
    counts = (k // 4, k // 2, k, 2 * k)
    return Plan(
        tuple(case for task in tasks for case in (task, replace(task, bias=-1.0, bias_decay=decay))),
        tuple(replace(decoder, lr=RATES[1], neurons=count) for count in counts),
    )


def study(what: Plan, once: Once, tell: Tell) -> Document:
    """Trains all that is planned, as far as it is not kept yet, and says what was found.

    Args:
        what: the plan.
        once, tell: of `Work`.
    """
    cases = list(dict.fromkeys((*what.grid, *what.neurons)))  # some stand in both
    work = Work(once, tell, len(cases))
    rows = {
        case: work.piece(f"model-{number}", _words(case), partial(_trained, case)) for number, case in enumerate(cases)
    }
    grid, counts = [rows[case] for case in what.grid], [rows[case] for case in what.neurons]
    checks = [*_bias_checks(grid), _rates_check(grid), _neurons_check(counts)]
    held = sum(each.status == "holds" for each in checks)
    return Document(
        kind="toy",
        name=NAME,
        title="Engineering monosemanticity in toy models",
        summary=f"{held} of {len(checks)} published claims hold here.",
        settings=what.settings(),
        made=provenance(),
        checks=checks,
        tables=[
            _models_table("models/grid", "Tasks, learning rates and biases at the start", grid),
            _models_table("neurons/counts", "Numbers of neurons", counts),
        ],
        figures=[
            figures.purity(grid, [_words_of(row) for row in grid]),
            figures.loss_and_share(grid, [_words_of(row) for row in grid]),
            figures.biases(grid, [_words_of(row) for row in grid]),
            figures.curves(grid, [_words_of(row) for row in grid]),
            figures.by_neurons(counts),
        ],
        sections={
            "models": "Near-equal losses, different neurons",
            "neurons": "More neurons",
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


def share(row: Row) -> Share:
    """Of neurons that fire for a single feature at all, those that fire for one alone."""
    return Share(row["monosemantic"], row["live"])


def _pairs(grid: Sequence[Row]) -> list[tuple[Row, Row]]:
    """Models that differ in the bias at the start alone (and its decay): first without, then with."""
    plain = [row for row in grid if row["case"]["bias"] == 0]
    other = {(r["case"]["task"], r["case"]["lr"]): r for r in grid if r["case"]["bias"] < 0}
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
