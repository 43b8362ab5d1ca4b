"""`mfn effect`: what interventions will do and what they did, in a terminal."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional

import typer

from mfn_core.errors import ConfigError
from mfn_server.options import ModelFolder, TableFile

if TYPE_CHECKING:
    from mfn_core.interventions import Intervention, Scope
    from mfn_core.model import MFNModel
    from mfn_core.steering import Concept

effect = typer.Typer(
    name="effect",
    help="Say what turning features will do to a model's text, measure it, and look for a good strength.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Prompt = Annotated[str, typer.Option("--prompt", "-p", help="Text that the model continues.")]
Turn = Annotated[
    list[str],
    typer.Option(
        "--feature",
        "-f",
        metavar="LAYER/FEATURE,MODE[,VALUE[,SCOPE]]",
        help="A feature and what to do with it, such as 3/2525,set,14.9,generation:0-16; "
        "MODE is set, add, scale or ablate, SCOPE both, prompt, generation[:FROM-TO] or FROM-TO; repeatable.",
    ),
]
Follow = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option("--token", metavar="TEXT|#ID", help="A token to tell of, too; repeatable."),
]
Swept = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option(
        "--swept",
        help="Which --feature has its value varied, the first being 1. [the only one; of several, all by a factor]",
        min=1,
    ),
]
Tokens = Annotated[int, typer.Option("--tokens", help="Tokens to write.", min=0)]
Samples = Annotated[int, typer.Option(help="Texts each, at a temperature above 0.", min=1)]
Seed = Annotated[int, typer.Option(help="Of all that is random.", min=0)]


@effect.command()
def predict(
    model: ModelFolder,
    prompt: Prompt,
    feature: Turn,
    token: Follow = None,
    top: Annotated[int, typer.Option(help="Tokens of each kind to show.", min=1)] = 10,
    position: Annotated[int, typer.Option(help="Token after which the next one is looked at; -1 is the last.")] = -1,
    method: Annotated[
        Literal["first_order", "path", "secant"],
        typer.Option(
            help="How to predict: by the slope here, along the path, or by secants through layers of features."
        ),
    ] = "first_order",
    json_file: TableFile = None,
) -> None:
    """Predict what happens to the next token, to first order and by the direct lens, and measure what does happen.

    Other features that change are listed, and how many of each layer's are replaced by others: first order does not see
    that.
    """
    loaded = _load(model)
    shown = loaded.effect(
        prompt,
        _turns(feature),
        position=position,
        n=top,
        tokens=[i for t in token or [] for i in _ids(loaded, t)],
        method=method,
    )
    _show(shown, json_file, "prediction", loaded)


@effect.command()
def sweep(
    model: ModelFolder,
    prompt: Prompt,
    feature: Turn,
    doses: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(metavar="NUMBER,…", help="Doses. [nine, up to 1.5 times the length of the stream]"),
    ] = None,
    swept: Swept = None,
    token: Follow = None,
    tokens: Tokens = 24,
    temperature: Annotated[float, typer.Option(help="0 takes the likeliest token at each step.", min=0)] = 0.0,
    samples: Samples = 1,
    seed: Seed = 0,
    json_file: TableFile = None,
) -> None:
    """Run a prompt at a range of strengths at once: chances of tokens, KL, and what is written at each."""
    from mfn_core.writing import Writing

    loaded = _load(model)
    shown = loaded.sweep(
        prompt,
        _turns(feature),
        doses=None if doses is None else _numbers(doses),
        swept=None if swept is None else swept - 1,
        tokens=[i for t in token for i in _ids(loaded, t)] if token else None,
        writing=Writing(tokens, temperature, seed) if tokens else None,
        samples=samples,
    )
    _show(shown, json_file, "sweep", loaded)


@effect.command()
def sweet_spot(
    model: ModelFolder,
    prompt: Annotated[list[str], typer.Option("--prompt", "-p", help="Text that the model continues; repeatable.")],
    feature: Turn,
    words: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(metavar="WORD,…", help="The concept: two of these words are to be in the text."),
    ] = None,
    pattern: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(metavar="REGEX", help="The concept: this is to be found in the text."),
    ] = None,
    token: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option("--token", metavar="TEXT|#ID", help="The concept: two of these tokens are to be written."),
    ] = None,
    fires: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            metavar="LAYER/FEATURE",
            help="The concept: one of these is to fire on half of the text, read without interventions. [those turned]",
        ),
    ] = None,
    cost: Annotated[float, typer.Option(help="Times the perplexity of plain text that is allowed.", min=1)] = 1.5,
    repetition: Annotated[
        float, typer.Option(help="Share of runs of three tokens that may repeat beyond plain text's.", min=0)
    ] = 0.2,
    most: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(help="Greatest dose. [1.5 times the length of the stream]"),
    ] = None,
    swept: Swept = None,
    temperature: Annotated[
        Optional[list[float]],  # noqa: UP045
        typer.Option(help="Of the texts; repeatable, each is searched. [0.7]", min=0),
    ] = None,
    samples: Samples = 8,
    tokens: Annotated[int, typer.Option("--tokens", help="Length of each text.", min=1)] = 32,
    seed: Seed = 0,
    json_file: TableFile = None,
) -> None:
    """Search the strength that brings most of a concept for a stated cost in fluency.

    All that was tried is shown: ● is the best, ○ what nothing else beats in both. The best is written once more with
    other random numbers, since the best of many noisy trials looks better than it is.
    """
    from mfn_core.steering import Budget, SpotOrder

    loaded = _load(model)
    turned = _turns(feature)
    order = SpotOrder(
        prompts=tuple(prompt),
        interventions=turned,
        concept=_concept(loaded, turned, words, pattern, token, fires),
        swept=None if swept is None else swept - 1,
        most=most,
        temperatures=tuple(temperature or [0.7]),
        budget=Budget(cost, repetition),
        samples=samples,
        tokens=tokens,
        seed=seed,
    )
    _show(loaded.sweet_spot(order), json_file, "sweet spot", loaded)


def turn_of(text: str) -> Intervention:
    """An intervention as the command line writes it.

    Raises:
        ConfigError: it is none.
        InterventionError: its value or scope is not possible.
    """
    from mfn_core.interventions import Intervention, Scope

    where, mode, value, scope = (*text.split(","), "", "", "")[:4]
    place = re.fullmatch(r"(\d+)/(\d+)", where.strip())
    try:
        number = float(value) if value else 0.0
        if place is None or text.count(",") > 3 or (not value and mode in ("set", "add", "scale")):
            raise ValueError
    except ValueError:
        raise ConfigError(
            f"{text!r} is not a feature and what to do with it: write LAYER/FEATURE,MODE[,VALUE[,SCOPE]], "
            "such as 3/812,set,6"
        ) from None
    found: Scope = _scope(scope) if scope else Scope()
    return Intervention(int(place[1]), int(place[2]), mode or "set", number, found)  # type: ignore[arg-type]


def _scope(text: str) -> Scope:
    from mfn_core.interventions import Scope

    span = re.fullmatch(r"(generation:)?(\d+)-(\d*)", text)
    if span is None:
        return Scope(text)  # type: ignore[arg-type]
    return Scope("generation" if span[1] else "range", int(span[2]), int(span[3]) if span[3] else None)


def _turns(texts: Sequence[str]) -> tuple[Intervention, ...]:
    return tuple(map(turn_of, texts))


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ConfigError(f"{text!r} are not numbers with commas between them") from None


def _ids(model: MFNModel, name: str) -> list[int]:
    """A token by its id, or all tokens that read like a text."""
    from mfn_core.tokens import vocabulary_strings

    if re.fullmatch(r"#\d+", name):
        found = [int(name[1:])] if int(name[1:]) < model.vocab_size else []
    else:
        texts = vocabulary_strings(model.required_tokenizer, model.vocab_size)
        wanted = name.strip().casefold()
        found = [number for number, text in enumerate(texts) if text.strip().casefold() == wanted]
    if not found:
        raise ConfigError(f"this model has no token {name!r}; a word may be several tokens")
    return found


def _concept(
    model: MFNModel,
    turned: Sequence[Intervention],
    words: str | None,
    pattern: str | None,
    token: Sequence[str] | None,
    fires: Sequence[str] | None,
) -> Concept:
    from mfn_core.steering import FiringConcept, TokensConcept
    from mfn_core.text_tests import TextTest

    if sum(given is not None and given != [] for given in (words, pattern, token, fires)) > 1:
        raise ConfigError("the concept is measured in one way: give one of --words, --pattern, --token and --fires")
    if words is not None:
        parts = frozenset(word.strip().casefold() for word in words.split(",")) - {""}
        return TextTest(parts, at_least=min(2, len(parts)))
    if pattern is not None:
        return TextTest(pattern=pattern)
    if token:
        return TokensConcept(frozenset(number for name in token for number in _ids(model, name)))
    named = [turn_of(f"{place},ablate") for place in fires or []] or turned
    return FiringConcept(tuple(dict.fromkeys((turn.layer, turn.feature) for turn in named)))


def _load(model: Path) -> MFNModel:
    from mfn_core.model import MFNModel

    return MFNModel.from_pretrained(model)


def _show(shown: Any, json_file: Path | None, kind: str, model: MFNModel) -> None:
    typer.echo(repr(shown))
    if json_file is not None:
        table = {"kind": kind, "model": model.fingerprint, "summary": shown.closing(), "rows": shown.to_dicts()}
        json_file.write_text(json.dumps(table, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
