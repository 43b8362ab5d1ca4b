"""Who finds what was planted, an MFN, an SAE or neurons; from training to the document."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from mfn_core.evidence.document import Check, Column, Document, Status, Table
from mfn_core.metrics.bootstrap import Estimate, mean_of
from mfn_core.provenance import provenance
from mfn_core.toy import recovery_figures as figures
from mfn_core.toy.engineering import Engineered
from mfn_core.toy.recovery import RECOVERED, UNITS, Recovery, recover
from mfn_core.toy.work import Once, Progress, Tell, Work

NAME = "toy-recovery"

Row = dict[str, Any]
"""What units of one kind found in one world, by measure."""


@dataclass(frozen=True)
class Plan:
    """What is trained.

    Attributes:
        recovery: worlds in which units of several kinds look for what was planted; they differ in the seed.
    """

    recovery: tuple[Recovery, ...]

    def settings(self) -> dict[str, Any]:
        """All of it as plain data."""
        return dataclasses.asdict(self)


def plan(quick: bool, seed: int) -> Plan:
    """What is trained in the quick setting, or in the full one."""
    world = Engineered(
        features=128, inputs=48, neurons=256, density=1 / 64, bias_decay=2.0, lr=5e-3, steps=800 if quick else 2500
    )
    return Plan(tuple(Recovery(replace(world, seed=seed + other), 6) for other in range(3 if quick else 5)))


def study(what: Plan, once: Once, tell: Tell) -> Document:
    """Trains all that is planned, as far as it is not kept yet, and says what was found.

    Args:
        what: the plan.
        once, tell: of `Work`.
    """
    work = Work(once, tell, len(what.recovery))
    worlds = [
        work.piece(f"recovery-{number}", "looking for planted features", partial(_recovered, case))
        for number, case in enumerate(what.recovery)
    ]
    return Document(
        kind="toy",
        name=NAME,
        title="Does an MFN find what was planted?",
        summary=f"Of what was planted, {_found_by('MFN', worlds)}; {_found_by('SAE', worlds)}; "
        f"{_found_by('engineered neurons', worlds)}.",
        settings=what.settings(),
        made=provenance(),
        checks=_checks(worlds),
        tables=[_table(what.recovery[0], worlds)],
        figures=[figures.recovery(UNITS, {key: _estimates(worlds, key) for key in MEASURES}, MEASURES)],
        sections={"recovery": "Who finds what was planted: MFN, SAE, neurons"},
    )


def _recovered(case: Recovery, on: Progress) -> dict[str, dict[str, float | None]]:
    found = recover(case, on)
    return {name: {k: None if v != v else round(v, 4) for k, v in one._asdict().items()} for name, one in found.items()}


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


def _checks(worlds: Sequence[dict[str, Row]]) -> list[Check]:
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


def _table(case: Recovery, worlds: Sequence[dict[str, Row]]) -> Table:
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
