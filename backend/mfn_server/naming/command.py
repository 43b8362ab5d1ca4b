"""The commands under `mfn labels` that suggest names and score them."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from mfn_core.errors import ConfigError
from mfn_server.options import Database, Home, ModelFolder, TableFile, settings_of

if TYPE_CHECKING:
    from mfn_server.naming.reader_run import ReaderOrder

Layers = Annotated[
    Optional[list[int]],  # noqa: UP045 - typer reads annotations at run time
    typer.Option("--layer", metavar="N", help="Features of this layer alone; repeatable."),
]
Features = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option("--feature", metavar="LAYER/NUMBER", help="This feature alone; repeatable."),
]
Rules = Annotated[
    Optional[list[Path]],  # noqa: UP045
    typer.Option("--rules", metavar="FILE", help="Words of concepts (TOML), as mfn concepts reads them; repeatable."),
]

EndpointUrl = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--endpoint", metavar="URL", help="OpenAI-compatible endpoint, up to /v1. [MFN_READER_URL]"),
]
ReaderName = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--reader", metavar="NAME", help="The language model there. Its key is in MFN_READER_KEY."),
]
LocalFolder = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("--local", metavar="FOLDER", help="A Hugging Face language model on this machine instead."),
]
Price = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--price", metavar="READ/WRITTEN", help="What a million tokens read, and written, cost: 3/15."),
]
Budget = Annotated[
    Optional[float],  # noqa: UP045
    typer.Option("--budget", help="Stop before more than this is spent, in the unit of --price.", min=0),
]


def suggest(
    model: ModelFolder,
    db: Database = None,
    home: Home = None,
    by: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option("--by", metavar="WAY", help="patterns, logits or neighbours; repeatable. [all of them]"),
    ] = None,
    layer: Layers = None,
    feature: Features = None,
    rules: Rules = None,
    anew: Annotated[bool, typer.Option("--anew", help="Also where it was done for this index before.")] = False,
) -> None:
    """Suggest names for features, without a language model's help: what tokens they fire on, what they write.

    Suggestions are marked as a program's; no list shows one before somebody adopts it. Called again after it was
    interrupted, it goes on where it stood.
    """
    from mfn_server.naming.run import SuggestOrder, run_suggest
    from mfn_server.naming.scorers import WAYS
    from mfn_server.progress import telling

    ways = tuple(way for way in WAYS if by is None or way in by)
    if unknown := set(by or ()) - set(WAYS):
        raise ConfigError(f"--by: there is no way {min(unknown)!r}; there are {', '.join(WAYS)}")
    order = SuggestOrder(
        model=model,
        database_url=settings_of(home=home, database=db).database_url,
        ways=ways,
        layers=frozenset(layer) if layer else None,
        features=read_features(feature) if feature else None,
        rules=tuple(rules or ()),
        anew=anew,
    )
    with telling() as tell:
        said = run_suggest(order, tell)
    typer.echo(said)


def explain(
    model: ModelFolder,
    endpoint: EndpointUrl = None,
    reader: ReaderName = None,
    local: LocalFolder = None,
    price: Price = None,
    budget: Budget = None,
    db: Database = None,
    home: Home = None,
    layer: Layers = None,
    feature: Features = None,
    anew: Annotated[bool, typer.Option("--anew", help="Also where this language model was asked before.")] = False,
) -> None:
    """Have a language model suggest names, from what the index shows of features.

    Each is stored as soon as it is there, with model, question and cost. Called again, it goes on where it stood.
    """
    from mfn_server.naming.reader_run import ExplainOrder, run_explain
    from mfn_server.progress import telling

    order = ExplainOrder(
        model=model,
        database_url=settings_of(home=home, database=db).database_url,
        reader=reader_order(endpoint, reader, local, price, budget),
        layers=frozenset(layer) if layer else None,
        features=read_features(feature) if feature else None,
        anew=anew,
    )
    with telling() as tell:
        said = run_explain(order, tell)
    typer.echo(said)


def score(
    model: ModelFolder,
    corpus: Annotated[
        str,
        typer.Option(
            metavar="FILE|hf:NAME", help="Held-out text, as mfn index reads it. What was indexed is left out."
        ),
    ],
    db: Database = None,
    home: Home = None,
    documents: Annotated[int, typer.Option(help="Read at most so many documents.", min=1)] = 2_000,
    snippets: Annotated[int, typer.Option(help="Snippets a feature.", min=10, max=200)] = 20,
    scorer: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            "--scorer",
            metavar="NAME",
            help="tokens, detection, fuzzing, intruder, embedding or simulation; repeatable. [all that can be]",
        ),
    ] = None,
    layer: Layers = None,
    feature: Features = None,
    rules: Rules = None,
    seed: Annotated[int, typer.Option(help="Which snippets are drawn.")] = 0,
    endpoint: EndpointUrl = None,
    reader: ReaderName = None,
    local: LocalFolder = None,
    price: Price = None,
    budget: Budget = None,
    embedder: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            metavar="FOLDER", help="A Hugging Face encoder of sentences. [words, as search by meaning has them]"
        ),
    ] = None,
    baselines: Annotated[
        Optional[bool],  # noqa: UP045
        typer.Option(
            "--baselines/--no-baselines",
            help="Score another feature's label and a random token, too. [yes, unless a language model is asked]",
        ),
    ] = None,
    anew: Annotated[bool, typer.Option("--anew", help="Do not go on with a run that was broken off.")] = False,
    json_file: TableFile = None,
) -> None:
    """Score labels, people's and programs', by how well they tell where their features fire in text they never saw.

    A label is taken at its word: strings in quotation marks, /regular expressions/, scripts and kinds of tokens are
    looked for. Labels that hold nothing of the kind are counted, and not scored. With --reader or --local a language
    model reads the labels instead. Scores are kept in the database, and shown beside the labels. Called again, it goes
    on where it stood.
    """
    from mfn_server.naming.score_report import summary, table_of, write_report
    from mfn_server.naming.score_run import ScoreOrder, run_score
    from mfn_server.naming.scorers import SCORERS
    from mfn_server.printing import wide_console
    from mfn_server.progress import telling

    if unknown := set(scorer or ()) - set(SCORERS):
        raise ConfigError(f"--scorer: there is no {min(unknown)!r}; there are {', '.join(SCORERS)}")
    asks = bool(reader or local)
    order = ScoreOrder(
        model=model,
        database_url=settings_of(home=home, database=db).database_url,
        corpus=corpus,
        documents=documents,
        layers=frozenset(layer) if layer else None,
        features=read_features(feature) if feature else None,
        rules=tuple(rules or ()),
        seed=seed,
        snippets=snippets,
        scorers=None if scorer is None else [name for name in SCORERS if name in scorer],
        reader=reader_order(endpoint, reader, local, price, budget) if asks else None,
        embedder=embedder,
        baselines=not asks if baselines is None else baselines,
        anew=anew,
    )
    with telling() as tell:
        scored = run_score(order, tell)
    wide_console().print(table_of(summary(scored.lines)))
    if asks:
        typer.echo(f"{scored.read:,} tokens read, {scored.written:,} written, cost {scored.cost:.4f}")
    if scored.message:
        typer.echo(f"stopped: {scored.message}; call it again to go on")
    if json_file is not None:
        write_report(json_file, scored)


def work(
    model: ModelFolder,
    run: Annotated[str, typer.Argument(metavar="RUN", help="Its id.")],
    db: Database = None,
    home: Home = None,
) -> None:
    """Do a run that was started on the Label page, or go on with it. The server calls this itself.

    It asks the language model that the run was told of; the key is in MFN_READER_KEY.
    """
    from mfn_server.naming.runs import RunStoppedError
    from mfn_server.naming.working import do_run
    from mfn_server.progress import telling

    with telling() as tell:
        try:
            said = do_run(model, settings_of(home=home, database=db).database_url, run, tell)
        except RunStoppedError as error:
            said = f"stopped: {error}"
    typer.echo(said)


def reader_order(
    endpoint: str | None, reader: str | None, local: Path | None, price: str | None, budget: float | None
) -> ReaderOrder:
    """Which language model the options mean. Raises ConfigError."""
    from mfn_server.naming.reader_run import ReaderOrder
    from mfn_server.naming.starting import read_price

    try:
        prices = read_price(price or "")
    except ConfigError as error:
        raise ConfigError(f"--price: {error}") from None
    url = endpoint or os.environ.get("MFN_READER_URL")
    if reader is not None and url is None:
        raise ConfigError("--reader is a model of an endpoint: say where, with --endpoint or MFN_READER_URL")
    where = None if reader is None or url is None else (url, reader)
    return ReaderOrder(where, local, prices, budget)


def read_features(named: list[str]) -> list[tuple[int, int]]:
    """["3/785"] -> [(3, 785)]. Raises ConfigError."""
    found = []
    for each in named:
        match = re.fullmatch(r"(\d+)/(\d+)", each)
        if match is None:
            raise ConfigError(f"--feature: {each!r} is no LAYER/NUMBER, such as 3/785")
        found.append((int(match[1]), int(match[2])))
    return list(dict.fromkeys(found))
