"""`mfn find-presets`: features that, turned up, make a model write something that a text can be tested for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer
from rich.table import Table

from mfn_server.options import Judge, ModelFolder, TableFile
from mfn_server.presets.measuring import read_prompts
from mfn_server.printing import wide_console
from mfn_server.progress import telling

if TYPE_CHECKING:
    from mfn_core.evaluation.steer_search.goals import Finding
    from mfn_core.evaluation.steering import SteerEffect
    from mfn_core.model import MFNModel
    from mfn_server.presets.goals_file import GoalBody

FORMATS = 40  # generated documents of each format that are read
SAMPLED = 0.8


def find_presets(
    model: ModelFolder,
    out: Annotated[
        Path,
        typer.Option(
            metavar="FOLDER",
            help="Where presets.json and the search's journal go; a search that was interrupted goes on there.",
        ),
    ],
    judge: Judge = None,
    goals: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="FILE", help="What to look for, and how to tell (TOML). [what comes with MFN Studio]"),
    ] = None,
    only: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(metavar="KIND[/NAME]", help="Look for these alone; repeatable."),
    ] = None,
    corpora: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            "--corpus", metavar="CORPUS", help="Text that has the goals in it; repeatable. [what comes with MFN Studio]"
        ),
    ] = None,
    choice_prompts: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="FILE", help="Prompts to choose on, one a line. [sixteen that come with MFN Studio]"),
    ] = None,
    prompts: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="FILE", help="Prompts to score on, none of the others. [fifty that come with MFN Studio]"),
    ] = None,
    tokens: Annotated[int, typer.Option(help="Length of each text.", min=1)] = 40,
    temperature: Annotated[float, typer.Option(help="Of the sampled texts.", min=0.01)] = SAMPLED,
    pieces: Annotated[int, typer.Option(help="Pieces of text to read, 48 tokens each.", min=1)] = 3000,
    seed: Annotated[int, typer.Option(help="Of all that is drawn.")] = 0,
    json_file: TableFile = None,
) -> None:
    """Look for features that make a model write what a text can be tested for, and keep those that do as presets.

    A preset is kept where at least half of the texts pass, greedy and sampled, five times as many as under other
    features that fire as often and are turned as strongly, and they read at most twice as strange as untouched ones.
    Settings are chosen on prompts on which they are not scored.
    """
    from mfn_core.evaluation.journal import Journal
    from mfn_core.evaluation.steer_search.search import Order, Search, settings
    from mfn_core.model import MFNModel
    from mfn_server import resources
    from mfn_server.presets.goals_file import read_goals

    demo = resources.demo()
    wanted = _only(read_goals(goals or demo / "steers.toml"), only)
    order = Order(
        [goal.goal() for goal in wanted],
        _texts(corpora or [str(demo / "corpus/corpus.jsonl.xz"), str(demo / "concepts"), str(demo / "text")]),
        read_prompts(choice_prompts or demo / "choice-prompts.txt"),
        read_prompts(prompts or demo / "prompts.txt"),
        tokens,
        temperature,
        seed,
        pieces,
    )
    _disjoint(order.choice_prompts, order.prompts)
    loaded = MFNModel.from_pretrained(model)
    other = loaded if judge is None else MFNModel.from_pretrained(judge)
    out.mkdir(parents=True, exist_ok=True)
    journal = Journal(out / "search.jsonl", settings(loaded, other, order))
    with telling() as tell:
        findings = Search(loaded, other, order, journal, tell).run()
    good = [(goal, finding) for goal, finding in zip(wanted, findings, strict=True) if finding.passes]
    kept = [preset_of(loaded, goal, finding, judge is not None) for goal, finding in good]
    (out / "presets.json").write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    shown = wide_console()
    shown.print(_table(findings))
    shown.print(f"{len(kept)} of {len(findings)} work; they are in {out / 'presets.json'}", soft_wrap=True)
    if judge is None:
        shown.print("Perplexity is under the unsteered model itself; --judge, its dense twin, gives an outside view.")
    if json_file is not None:
        table = {"kind": "presets", **settings(loaded, other, order), "found": [_row(finding) for finding in findings]}
        json_file.write_text(json.dumps(_finite(table), indent=2) + "\n", encoding="utf-8")


def _only(goals: list[GoalBody], only: list[str] | None) -> list[GoalBody]:
    from mfn_core.errors import ConfigError

    for name in only or []:
        if not any(name in (goal.id, goal.id.split("/")[0]) for goal in goals):
            raise ConfigError(f"there is no goal {name!r}; there are {', '.join(goal.id for goal in goals)}")
    return [goal for goal in goals if not only or goal.id in only or goal.id.split("/")[0] in only]


def _texts(corpora: Sequence[str]) -> list[str]:
    from mfn_core.data.corpus import read_corpus
    from mfn_core.evaluation.sources import formats

    return [document.text for spec in corpora for document in read_corpus(spec)] + [t.text for t in formats(FORMATS)]


def _disjoint(choosing: Sequence[str], scoring: Sequence[str]) -> None:
    from mfn_core.errors import ConfigError

    common = next((prompt for prompt in choosing if prompt in scoring), None)
    if common is not None:
        raise ConfigError(f"the prompt {common!r} is among those to choose on and among those to score on")


def preset_of(model: MFNModel, goal: GoalBody, finding: Finding, judged: bool) -> dict[str, Any]:
    """A finding that works as an entry of a presets file. `judged`: perplexity is under a model of its own."""
    greedy, sampled = finding.greedy, finding.sampled
    assert greedy is not None
    assert sampled is not None
    stop = finding.turns[0].scope.stop
    lasts = f" Turned for the first {stop} new tokens alone: what follows, the model writes by itself." if stop else ""
    told = f"on {greedy.steered.part} of {greedy.steered.whole} prompts; sampled, on {sampled.steered.part}"
    measured = {"greedy": _figures(greedy), "sampled": _figures(sampled)}
    turned = [
        {
            "source": model.source_key(turn.layer),
            "index": turn.feature,
            "mode": turn.mode,
            "value": turn.value,
            "scope": {"kind": turn.scope.kind, "start": turn.scope.start, "stop": turn.scope.stop},
        }
        for turn in finding.turns
    ]
    return {
        "name": goal.name,
        "description": f"{goal.description}{lasts} It does so {told}.",
        "prompt": finding.prompt,
        "interventions": turned,
        "settings": {"max_new_tokens": 40, "temperature": 0.0, "seed": 0},
        "test": goal.body().model_dump(exclude_defaults=True),
        "measured": {**measured, "judge": "another model" if judged else "the model itself"},
    }


def _figures(effect: SteerEffect) -> dict[str, Any]:
    return {
        "steered": effect.steered.value,
        "plain": effect.plain.value,
        "others": effect.control.value,
        "prompts": effect.steered.whole,
        "perplexity": round(effect.perplexity, 2),
        "plain_perplexity": round(effect.plain_perplexity, 2),
    }


def _table(findings: Sequence[Finding]) -> Table:
    table = Table(box=None, header_style="bold")
    table.add_column("goal")
    table.add_column("turned", max_width=40)
    for name in ("plain", "chosen", "greedy", "others", "strange", "sampled", "others", "strange"):
        table.add_column(name, justify="right")
    table.add_column("")
    for f in sorted(findings, key=lambda f: (not f.passes, f.greedy is None, -f.chosen)):
        cells = [f.goal.id, " ".join(f"L{t.layer}/{t.feature}={t.value:g}" for t in f.turns), f"{f.plain.value:.0%}"]
        cells.append(f"{f.chosen:.0%}" if f.turns else "")
        for effect in (f.greedy, f.sampled):
            cells += ["", "", ""] if effect is None else _cells(effect)
        table.add_row(*cells, _verdict(f))
    return table


def _cells(effect: SteerEffect) -> list[str]:
    strange = effect.perplexity / effect.plain_perplexity
    return [f"{effect.steered.value:.0%}", f"{effect.control.value:.0%}", f"{strange:.2f}×"]


def _verdict(finding: Finding) -> str:
    if finding.loose:
        return "the test is too loose"
    return "works" if finding.passes else ""


def _row(finding: Finding) -> dict[str, Any]:
    from mfn_core.evaluation.steer_search.goals import turns_to_json

    return {
        "goal": finding.goal.id,
        "name": finding.goal.name,
        "turned": turns_to_json(finding.turns),
        "plain": finding.plain.to_json(),
        "loose": finding.loose,
        "chosen": finding.chosen,
        "strange": finding.strange,
        "greedy": finding.greedy and _figures(finding.greedy),
        "sampled": finding.sampled and _figures(finding.sampled),
        "works": finding.passes,
    }


def _finite(value: Any) -> Any:
    """The same with null for what is no finite number: JSON has none."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and value - value != 0 else value
