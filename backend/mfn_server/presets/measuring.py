"""`mfn presets`: over many prompts, how often a preset makes a model write what it is meant to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer
from rich.console import Console
from rich.table import Table

from mfn_server.options import Judge, ModelFolder, TableFile
from mfn_server.printing import wide_console

if TYPE_CHECKING:
    from mfn_core.evaluation.steering import Steer, SteerEffect
    from mfn_core.model import MFNModel
    from mfn_server.presets.shipped import ShippedPreset


def presets(
    model: ModelFolder,
    file: Annotated[
        Optional[Path],  # noqa: UP045 - typer reads the annotation at run time
        typer.Option("--presets", metavar="FILE", help="Presets with a test each (JSON). [those of the demo]"),
    ] = None,
    judge: Judge = None,
    prompts: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="FILE", help="Prompts, one a line. [fifty that come with MFN Studio]"),
    ] = None,
    tokens: Annotated[int, typer.Option(help="Length of each text.", min=1)] = 40,
    temperature: Annotated[float, typer.Option(help="0 takes the likeliest token at each step.", min=0)] = 0.0,
    seed: Annotated[int, typer.Option(help="Of the choice of tokens.")] = 0,
    json_file: TableFile = None,
) -> None:
    """Measure how reliably presets make a model write what they are meant to.

    A preset shows where its texts pass their test more often than texts under other features, turned as strongly,
    beyond chance, and read at most twice as strange as untouched ones. Words that a feature promotes by itself do not
    count.
    """
    from mfn_core.errors import ConfigError
    from mfn_core.evaluation.steering import measure
    from mfn_core.model import MFNModel
    from mfn_core.writing import Writing
    from mfn_server import resources
    from mfn_server.presets.shipped import read_shipped

    loaded = MFNModel.from_pretrained(model)
    other = loaded if judge is None else MFNModel.from_pretrained(judge)
    path = file or resources.demo() / "presets.json"
    tested = [preset for preset in read_shipped(path) if preset.test is not None]
    if not tested:
        raise ConfigError(f"{path} holds no preset with a test")
    steers = [_steer(loaded, preset) for preset in tested]
    lines = read_prompts(prompts or resources.demo() / "prompts.txt")
    console, effects = Console(stderr=True, highlight=False), []
    with console.status("writing untouched texts") as status:
        writing, firing = Writing(tokens, temperature, seed), _firing(loaded, lines)
        for effect in measure(loaded, other, lines, steers, lambda turned: firing[turned.layer], writing):
            effects.append(effect)
            status.update(f"{len(effects)} of {len(steers)} presets measured")
    out = wide_console()
    out.print(_table(effects))
    out.print(f"{sum(effect.shows for effect in effects)} of {len(effects)} presets show over {len(lines)} prompts")
    if json_file is not None:
        settings = {"model": loaded.fingerprint, "judge": other.fingerprint, "prompts": len(lines), **asdict(writing)}
        json_file.write_text(json.dumps({**settings, "presets": [_row(e) for e in effects]}, indent=2) + "\n")


def read_prompts(path: Path) -> list[str]:
    """Prompts of a file, one a line.

    Raises:
        ConfigError: it cannot be read, or holds none.
    """
    from mfn_core.errors import ConfigError

    try:
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the prompts {path} cannot be read: {error}") from error
    if not lines:
        raise ConfigError(f"there is no prompt in {path}")
    return lines


def _steer(model: MFNModel, preset: ShippedPreset) -> Steer:
    from mfn_core.errors import ConfigError
    from mfn_core.evaluation.steering import Steer
    from mfn_server.steering.interventions import turned

    assert preset.test is not None
    layers = {model.source_key(layer): layer for layer in model.coders}
    interventions, own = [], []
    for item in preset.interventions:
        for source in (item.source, item.asks.source if item.asks else None):
            if source is not None and source not in layers:
                raise ConfigError(f"preset {preset.name!r} turns {source!r}, which is none of {', '.join(layers)}")
        interventions.append(turned(item, layers))
        promoted = model.feature(layers[item.source], item.index).promoted
        own += [str(model.required_tokenizer.decode([token.id])) for token in promoted]
    return Steer(preset.name, tuple(interventions), preset.test.test(), tuple(own))


def _firing(model: MFNModel, prompts: Sequence[str]) -> dict[int, list[int]]:
    """By layer, features that fire somewhere in the prompts: those of the control are live ones."""
    found: dict[int, set[int]] = {layer: set() for layer in model.coders}
    for prompt in prompts:
        for layer, codes in model.codes(prompt).items():
            found[layer].update(codes.indices[codes.values > 0].tolist())
    return {layer: sorted(features) for layer, features in found.items()}


def _table(effects: Sequence[SteerEffect]) -> Table:
    table = Table(box=None, header_style="bold")
    table.add_column("preset")
    for name in ("steered", "95 %", "untouched", "others", "perplexity", "untouched"):
        table.add_column(name, justify="right")
    table.add_column("")
    for e in effects:
        low, high = e.steered.interval()
        table.add_row(
            e.name,
            f"{e.steered.value:.0%}",
            f"{low:.0%}–{high:.0%}",
            f"{e.plain.value:.0%}",
            f"{e.control.value:.0%}",
            f"{e.perplexity:.1f}",
            f"{e.plain_perplexity:.1f}",
            "shows" if e.shows else "",
        )
    return table


def _row(effect: SteerEffect) -> dict[str, Any]:
    return {
        "name": effect.name,
        "steered": effect.steered.to_json(),
        "plain": effect.plain.to_json(),
        "control": effect.control.to_json(),
        "perplexity": effect.perplexity,
        "plain_perplexity": effect.plain_perplexity,
        "shows": effect.shows,
    }
