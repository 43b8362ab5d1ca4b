"""Superposition, as published: who is represented, in which shapes, and when; from training to the document."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mfn_core.evidence.document import Check, Column, Document, Table
from mfn_core.intervals import Share
from mfn_core.provenance import provenance
from mfn_core.toy import superposition_figures as figures
from mfn_core.toy.superposition import (
    ABSENT,
    ALONE,
    SHARED,
    Superposition,
    angles,
    dimensionality,
    dimensions_per_feature,
    ideal_losses,
    state_of,
    train,
)
from mfn_core.toy.work import Progress, Work, check, plain

NAME = "toy-superposition"
KEPT = 0.5
"""Length of W_i from which on a feature counts as represented."""
PLATEAUS = {"1": 1.0, "3/4": 3 / 4, "2/3": 2 / 3, "1/2": 1 / 2, "2/5": 2 / 5, "3/8": 3 / 8}
"""Dimensionalities of a feature: alone, in a tetrahedron, triangle, pair of opposites, pentagon, square antiprism."""
NEAR = 0.015  # how far from a plateau still counts as on it
SOME = 0.3  # density from which on, downwards, features are to be superposed
NUMBERS = 150_000  # of a batch over all models that train in one piece of the work
SPARSE = 0.1  # density from which on, downwards, five features in a plane are to form a pentagon


@dataclass(frozen=True)
class Plan:
    """What is trained.

    Attributes:
        plane: five features in two dimensions.
        basic: features of falling importance; trained with and without ReLU.
        dimensions: features of equal importance.
        phase: two features in one dimension: all densities with all of `relative`.
        relative: importances of the second of them, the first one's being 1.
    """

    plane: Superposition
    basic: Superposition
    dimensions: Superposition
    phase: Superposition
    relative: tuple[float, ...]

    def settings(self) -> dict[str, Any]:
        """All of it as plain data."""
        return dataclasses.asdict(self)


def plan(quick: bool, seed: int) -> Plan:
    """What is trained in the quick setting, or in the full one."""
    grid = 13 if quick else 25
    relative = _spaced(0.1, 10, grid)
    phase_densities = [density for density in _spaced(0.01, 1.0, grid)[::-1] for _ in relative]
    sweep = (1.0, 1.2, 1.4, 1.5, 1.6, 1.7, 1.8, 2.0, 2.25, 2.5, 2.8, 3.2, 3.6, 4.0, 4.5, 5.0, 6.0, 8.0)
    dimensions = sweep[::2] if quick else sweep
    return Plan(
        plane=Superposition(
            5,
            2,
            (1.0, 0.3, 0.1, 0.05) if quick else (1.0, 0.7, 0.5, 0.4, 0.3, 0.2, 0.15, 0.1, 0.07, 0.05),
            _falling(0.85, 5),
            replicas=6 if quick else 8,
            steps=1500 if quick else 3000,
            batch=256,
            lr=5e-3,
            seed=seed,
        ),
        basic=Superposition(
            20,
            5,
            (1.0, 0.3, 0.1, 0.03, 0.01) if quick else (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001),
            _falling(0.7, 20),
            steps=2500 if quick else 5000,
            batch=512,
            lr=5e-3 if quick else 3e-3,
            seed=seed,
        ),
        dimensions=Superposition(
            40 if quick else 60,
            8 if quick else 12,
            tuple(round(1 / each, 4) for each in dimensions),
            (1.0,) * (40 if quick else 60),
            steps=1500 if quick else 5000,
            batch=384,
            lr=5e-3 if quick else 3e-3,
            seed=seed,
        ),
        phase=Superposition(
            2,
            1,
            tuple(phase_densities),
            tuple((1.0, each) for _ in relative for each in relative),
            replicas=3 if quick else 4,
            steps=800 if quick else 1500,
            batch=128,
            lr=1e-2,
            seed=seed,
        ),
        relative=relative,
    )


def study(what: Plan, once: Any, tell: Any) -> Document:
    """Trains all that is planned, as far as it is not kept yet, and says what was found.

    Args:
        what: the plan.
        once, tell: of `Work`.
    """
    linear = dataclasses.replace(what.basic, relu=False)
    tasks = [
        _Task("plane", "five features in a plane", what.plane, _plane),
        _Task("basic", "features of falling importance", what.basic, _basic),
        _Task("linear", "the same without ReLU", linear, _basic),
        _Task("dimensions", "features of equal importance", what.dimensions, _dimensions),
        _Task("phase", "two features in one dimension", what.phase, _phase),
    ]
    work = Work(once, tell, sum(len(_parts(task.case)) for task in tasks))
    plane, curved, straight, dims, phase = (_done(task, work) for task in tasks)
    densities = what.dimensions.density
    checks = [
        *_basic_checks(what.basic, curved, straight),
        *_plane_checks(what.plane, plane),
        *_dimension_checks(densities, dims),
        *_phase_checks(what, phase["state"]),
    ]
    held = sum(each.status == "holds" for each in checks)
    return Document(
        kind="toy",
        name=NAME,
        title="Toy models of superposition",
        summary=f"{held} of {len(checks)} published findings hold here: sparse features share dimensions, in regular "
        "shapes and in phases; dense ones do not.",
        settings=what.settings(),
        made=provenance(),
        checks=checks,
        tables=[
            _basic_table(what.basic, curved, straight),
            _plane_table(what.plane, plane),
            _dims_table(densities, dims),
        ],
        figures=[
            figures.represented(what.basic.density, _counts(curved), _counts(straight), what.basic.hidden),
            figures.gram(what.basic.density, torch.tensor(curved["W"])),
            figures.plane(what.plane.density, torch.tensor(plane["W"]), what.plane.importance),
            figures.per_feature(densities, dims["per_feature"]),
            figures.each_feature(densities, dims["dimensionality"], PLATEAUS),
            figures.phase(what.phase.density, what.relative, torch.tensor(phase["state"]), _ideal(what)),
        ],
        sections={
            "basic": "More features than dimensions",
            "plane": "Five features in a plane",
            "dimensions": "Dimensions are shared in shapes",
            "phase": "Phases",
        },
    )


Found = dict[str, list[Any]]
"""Of each instance of a case, in order: whatever was measured."""


class _Task(NamedTuple):
    """Training one case, part by part."""

    key: str
    what: str
    case: Superposition
    measure: Callable[[Superposition, Progress], Found]


def _done(task: _Task, work: Work) -> Found:
    whole: Found = {}
    for number, part in enumerate(_parts(task.case)):
        found = work.piece(f"{task.key}-{number}", task.what, partial(task.measure, part))
        for key, values in found.items():
            whole.setdefault(key, []).extend(values)
    return whole


def _parts(case: Superposition) -> list[Superposition]:
    """The case in parts, each quickly trained, so that little is lost where the work is interrupted."""
    most = max(1, NUMBERS // (case.replicas * case.batch * case.features))
    one_for_all = not isinstance(case.importance[0], tuple)
    return [
        dataclasses.replace(
            case,
            density=case.density[at : at + most],
            importance=case.importance if one_for_all else case.importance[at : at + most],
            seed=case.seed + number,
        )
        for number, at in enumerate(range(0, len(case.density), most))
    ]


def _spaced(low: float, high: float, count: int) -> tuple[float, ...]:
    ratio = (high / low) ** (1 / (count - 1))
    return tuple(float(f"{low * ratio**step:.4g}") for step in range(count))


def _falling(ratio: float, count: int) -> tuple[float, ...]:
    return tuple(round(ratio**place, 6) for place in range(count))


def _plane(case: Superposition, on: Progress) -> Found:
    found = train(case, on)
    best = found.best()
    pentagons = _off_pentagon(found.W) < OFF
    return {"W": plain(best.W), "loss": plain(best.loss), "pentagons": pentagons.sum(dim=0).tolist()}


OFF = 10.0
"""Degrees by which an angle may differ from 72 in what still counts as a pentagon."""


def _off_pentagon(W: Tensor) -> Tensor:
    """By how many degrees an angle differs from 72 at most, [...]; 360 where a feature is missing."""
    off = (angles(W) - 72).abs().amax(dim=-1)
    return torch.where((W.norm(dim=-2) > KEPT).all(dim=-1), off, 360.0)


def _basic(case: Superposition, on: Progress) -> Found:
    best = train(case, on).best()
    return {"W": plain(best.W), "loss": plain(best.loss)}


def _dimensions(case: Superposition, on: Progress) -> Found:
    best = train(case, on).best()
    shown = best.W.norm(dim=-2) > KEPT
    share = dimensionality(best.W)
    return {
        "per_feature": plain(dimensions_per_feature(best.W)),
        "dimensionality": [plain(each[kept].sort().values) for each, kept in zip(share, shown, strict=True)],
    }


def _phase(case: Superposition, on: Progress) -> Found:
    return {"state": state_of(train(case, on).best().W).tolist()}


def _counts(found: Mapping[str, Any]) -> list[int]:
    counts: list[int] = (torch.tensor(found["W"]).norm(dim=-2) > KEPT).sum(dim=-1).tolist()
    return counts


def _basic_checks(case: Superposition, curved: Mapping[str, Any], straight: Mapping[str, Any]) -> list[Check]:
    m, relu, linear = case.hidden, _counts(curved), _counts(straight)
    dense = torch.tensor(curved["W"])[case.density.index(max(case.density))]
    kept = (dense.norm(dim=0) > KEPT).nonzero().flatten().tolist()
    share = dimensionality(dense)[kept]
    return [
        check(
            f"Dense features are not superposed: of {case.features} in {m} dimensions exactly the {m} most important "
            "are represented, each with a dimension for itself",
            kept == list(range(m)) and bool((share > 0.95).all()),
            f"represented: {', '.join(str(each + 1) for each in kept)}; least dimensionality {share.min():.2f}",
        ),
        check(
            f"Sparse features are superposed: at every density up to {SOME:g} more than {m} are represented",
            all(count > m for p, count in zip(case.density, relu, strict=True) if p <= SOME),
            "represented: " + _by_density(case.density, relu),
        ),
        check(
            f"It takes the ReLU: without, never more than {m} are represented",
            max(linear) <= m,
            "represented: " + _by_density(case.density, linear),
        ),
    ]


def _by_density(densities: Sequence[float], counts: Sequence[int]) -> str:
    return ", ".join(f"{count} at density {p:g}" for p, count in zip(densities, counts, strict=True))


def _plane_checks(case: Superposition, found: Mapping[str, Any]) -> list[Check]:
    W = torch.tensor(found["W"])
    off, share = _off_pentagon(W), dimensionality(W)
    dense = case.density.index(max(case.density))
    sparse = [place for place, p in enumerate(case.density) if p <= SPARSE]
    counts = (W.norm(dim=-2) > KEPT).sum(dim=-1)
    worst = float((share[sparse] - 0.4).abs().max())
    return [
        check(
            "Five sparse features in a plane form a regular pentagon, each with 2/5 of a dimension; of five dense ones "
            "two are represented",
            bool((off[sparse] < OFF).all()) and worst < 0.05 and int(counts[dense]) == 2,
            f"angles differ from 72° by {off[sparse].max():.1f}° at most and dimensionalities from 0.4 by {worst:.3f}, "
            f"at densities up to {SPARSE:g} (best of {case.replicas} models); dense: {int(counts[dense])} represented",
        )
    ]


def _dimension_checks(densities: Sequence[float], found: Mapping[str, Any]) -> list[Check]:
    held = [
        (1 / p, star)
        for p, star, each in zip(densities, found["per_feature"], found["dimensionality"], strict=True)
        if each and sum(abs(one - 0.5) <= NEAR for one in each) >= 0.9 * len(each)
    ]
    there, stars = [inverse for inverse, _ in held], [star for _, star in held]
    all_of = [each for one in found["dimensionality"] for each in one]
    on = Share(sum(any(abs(each - at) <= NEAR for at in PLATEAUS.values()) for each in all_of), len(all_of))
    low, high = min(PLATEAUS.values()) - NEAR, 1 + NEAR
    chance = 2 * NEAR * len(PLATEAUS) / (high - low)
    by_name = {
        name: sum(abs(each - at) <= NEAR for each in all_of) / max(1, len(all_of)) for name, at in PLATEAUS.items()
    }
    return [
        check(
            "Half a dimension is sticky: while features become sparser by half or more, nine in ten of those "
            "represented have 1/2, as pairs of opposites",
            len(there) > 2 and max(there) >= 1.5 * min(there),
            f"so for 1/(1−S) from {min(there):.2g} to {max(there):.2g}, where D* falls from {stars[0]:.2f} to "
            f"{stars[-1]:.2f}"
            if there
            else "nowhere",
        ),
        check(
            "Dimensionalities of single features lie on the plateaus "
            + ", ".join(PLATEAUS)
            + " more often than if they were spread evenly",
            on.interval()[0] > chance,
            f"{on.value:.0%} (95 %: {on.interval()[0]:.0%} to {on.interval()[1]:.0%}) within {NEAR} of one, "
            f"{chance:.0%} if even; " + ", ".join(f"{name}: {share:.0%}" for name, share in by_name.items()),
        ),
    ]


def _ideal(what: Plan) -> Tensor:
    """The state of least ideal loss, int64 [cells]."""
    second = torch.tensor([each[1] for each in what.phase.importance], dtype=torch.float64)  # type: ignore[index]
    return ideal_losses(torch.tensor(what.phase.density, dtype=torch.float64), second).argmin(dim=-1)


def _phase_checks(what: Plan, states: Sequence[int]) -> list[Check]:
    found, ideal = torch.tensor(states), _ideal(what)
    agree = Share(int((found == ideal).sum()), len(found))
    sparse = torch.tensor(what.phase.density) <= 0.05
    shared = Share(int((found[sparse] == SHARED).sum()), int(sparse.sum()))
    dense = torch.tensor(what.phase.density) == 1.0
    counts = [int((found[dense] == each).sum()) for each in (ABSENT, ALONE, SHARED)]
    return [
        check(
            "What becomes of a second feature changes abruptly, where the ideal solution of least loss changes: "
            "nine in ten trained models are in its phase",
            agree.value >= 0.9,
            f"{agree.value:.1%} of {agree.whole} (95 %: {agree.interval()[0]:.1%} to {agree.interval()[1]:.1%})",
        ),
        check(
            "Where features are sparse (density up to 0.05) both share the dimension whatever their importance; where "
            "they are dense the more important has it",
            shared.value >= 0.9 and counts[SHARED] <= 0.15 * sum(counts),
            f"sparse: {shared.value:.0%} shared; dense: {counts[ABSENT]} absent, {counts[ALONE]} alone, "
            f"{counts[SHARED]} shared",
        ),
    ]


def _basic_table(case: Superposition, curved: Mapping[str, Any], straight: Mapping[str, Any]) -> Table:
    rows = [
        {"density": p, "relu": a, "linear": b, "loss": x, "linear_loss": y}
        for p, a, b, x, y in zip(
            case.density, _counts(curved), _counts(straight), curved["loss"], straight["loss"], strict=True
        )
    ]
    columns = [
        Column("density", "density 1 − S"),
        Column("relu", "represented"),
        Column("linear", "represented, linear model"),
        Column("loss", "loss"),
        Column("linear_loss", "loss, linear model"),
    ]
    caption = f"{case.features} features of importance 0.7ⁱ in {case.hidden} dimensions; represented: ‖W_i‖ > {KEPT}."
    return Table("basic/counts", "How many features are represented", columns, rows, caption)


def _plane_table(case: Superposition, found: Mapping[str, Any]) -> Table:
    W = torch.tensor(found["W"])
    rows = [
        {"density": p, "kept": int((one.norm(dim=0) > KEPT).sum()), "pentagons": count / case.replicas, "loss": loss}
        for p, one, count, loss in zip(case.density, W, found["pentagons"], found["loss"], strict=True)
    ]
    columns = [
        Column("density", "density 1 − S"),
        Column("kept", "represented, in the model of least loss"),
        Column("pentagons", "models that are pentagons", "share"),
        Column("loss", "least loss"),
    ]
    return Table("plane/counts", f"Of {case.replicas} models at each density", columns, rows)


def _dims_table(densities: Sequence[float], found: Mapping[str, Any]) -> Table:
    rows = []
    for p, per, each in zip(densities, found["per_feature"], found["dimensionality"], strict=True):
        on = {name: sum(abs(one - at) <= NEAR for one in each) / max(1, len(each)) for name, at in PLATEAUS.items()}
        rows.append({"inverse": 1 / p, "per_feature": per, "represented": len(each), **on})
    columns = [
        Column("inverse", "1/(1 − S)"),
        Column("per_feature", "D*"),
        Column("represented", "represented"),
        *(Column(name, f"at {name}", "share") for name in PLATEAUS),
    ]
    return Table("dimensions/plateaus", "Where dimensionalities lie", columns, rows, f"Within {NEAR} of each plateau.")
