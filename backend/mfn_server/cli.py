"""The `mfn` command. Each subcommand reads its arguments here and leaves the work to a module of its own."""

from __future__ import annotations

import errno
import json
import logging
import sys
from pathlib import Path
from typing import Annotated, Any, Optional

import typer
from rich.console import Console
from sqlalchemy.exc import DBAPIError

from mfn_server import __version__
from mfn_server.ablating import ablate
from mfn_server.access.command import users
from mfn_server.backup.command import backup, restore
from mfn_server.concepts import concepts
from mfn_server.effects.command import effect
from mfn_server.equipping import equip
from mfn_server.evaluating import evaluate
from mfn_server.exchange.labels.command import export_labels, import_file
from mfn_server.labels.command import labels
from mfn_server.naming.command import explain, score, suggest, work
from mfn_server.options import Database, Device, Home, ModelFolder, RayMayBeBare, settings_of
from mfn_server.presets.finding import find_presets
from mfn_server.presets.measuring import presets
from mfn_server.progress import telling
from mfn_server.rates import rates
from mfn_server.runs import runs
from mfn_server.toys import toy

app = typer.Typer(
    name="mfn",
    help="MFN Studio: a language model that thinks in named features, and a dashboard to browse and steer them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

Host = Annotated[str, typer.Option(help="Address to listen on.")]
Port = Annotated[int, typer.Option(help="Port to listen on; 0 for any that is free.", min=0, max=65535)]
AllowHost = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option("--allow-host", metavar="NAME", help="A further host name under which the app may be reached."),
]
Dashboards = Annotated[
    Optional[list[Path]],  # noqa: UP045
    typer.Option(
        "--dashboards",
        metavar="FOLDER",
        help="Show Neuronpedia's dashboards, too: a folder with batch-N.json files in or below it; repeatable.",
        exists=True,
        file_okay=False,
    ),
]
Evidence = Annotated[
    Optional[list[Path]],  # noqa: UP045
    typer.Option(
        "--evidence",
        metavar="FOLDER",
        help="Show what lies there on the Evidence page: documents of mfn eval and other experiments, and runs of mfn "
        "train; repeatable. Those in MODEL/evidence are shown anyway.",
        exists=True,
        file_okay=False,
    ),
]
ModelAlias = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option("--model-alias", metavar="NAME", help="A further name of the model for clients of OpenAI's API."),
]
ChatTemplate = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--chat-template",
        metavar="FILE|plain",
        help="How a chat becomes a text, if not as the tokenizer has it: Jinja; plain: messages joined by blank lines.",
    ),
]
Accounts = Annotated[
    Optional[bool],  # noqa: UP045
    typer.Option("--accounts", help="Ask people to log in; see `mfn users`. [MFN_ACCOUNTS]", show_default=False),
]
NoBrowser = Annotated[bool, typer.Option("--no-browser", help="Do not open a browser.")]


def _version(wanted: bool) -> None:
    if wanted:
        out.print(f"mfn {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")


@app.command()
def demo(
    host: Host = "127.0.0.1",
    port: Port = 8765,
    home: Home = None,
    allow_host: AllowHost = None,
    accounts: Accounts = None,
    dashboards: Dashboards = None,
    evidence: Evidence = None,
    no_browser: NoBrowser = False,
) -> None:
    """Open the dashboard on the model that comes with MFN Studio."""
    from mfn_server import resources

    folder = resources.demo()
    settings = settings_of(
        home=home,
        host=host,
        port=port,
        allowed_hosts=allow_host,
        accounts=accounts,
        dashboards=dashboards,
        evidence=[*(evidence or []), folder / "evidence"],
        model=folder / "model",
        corpus=[str(folder / "corpus" / "corpus.jsonl.xz")],
        corpus_name="the demo corpus",
        index_file=folder / "index" / "index.npz.xz",
        presets_file=folder / "presets.json",
        atlas_file=folder / "atlas.jsonl",
    )
    _serve(settings, no_browser)


@app.command(cls=RayMayBeBare)
def serve(
    model: ModelFolder,
    db: Database = None,
    host: Host = "127.0.0.1",
    port: Port = 8765,
    home: Home = None,
    allow_host: AllowHost = None,
    accounts: Accounts = None,
    dashboards: Dashboards = None,
    evidence: Evidence = None,
    model_alias: ModelAlias = None,
    chat_template: ChatTemplate = None,
    ray: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--ray",
            metavar="[ADDRESS]",
            help="Serve the model by replicas on a Ray cluster: auto, HOST:PORT, or nothing (as the last option) for "
            "one of this machine. [MFN_RAY]",
        ),
    ] = None,
    replicas: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            metavar="N|N-M", help="How many replicas, with --ray; 2-8: as many as texts ask for. [MFN_REPLICAS, 1]"
        ),
    ] = None,
    no_browser: NoBrowser = False,
) -> None:
    """Open the dashboard on a model of yours. Index it first, with `mfn index`."""
    settings = settings_of(
        home=home,
        host=host,
        port=port,
        allowed_hosts=allow_host,
        accounts=accounts,
        dashboards=dashboards,
        evidence=evidence,
        model=model,
        database=db,
        model_aliases=model_alias,
        chat_template=chat_template,
        ray=ray,
        replicas=replicas,
    )
    _serve(settings, no_browser)


@app.command(cls=RayMayBeBare)
def index(
    model: ModelFolder,
    corpora: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Argument(metavar="CORPUS...", help="Texts: .txt, .jsonl(.gz|.xz), .parquet, folders, globs, hf:NAME."),
    ] = None,
    db: Database = None,
    home: Home = None,
    name: Annotated[str, typer.Option(help="How to call the corpus.")] = "",
    text_field: Annotated[str, typer.Option(help="Column or key that holds the text.")] = "text",
    limit: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(help="Read at most so many documents of each corpus.", min=1),
    ] = None,
    import_file: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            "--import",
            metavar="FILE|FOLDER",
            help="Take this finished index instead, if it is the model's: a file, or a folder of mfn export-index.",
        ),
    ] = None,
    export_file: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--export", metavar="FILE", help="Write the index to this file, too."),
    ] = None,
    top: Annotated[int, typer.Option(help="How many of its strongest contexts each feature keeps.", min=1)] = 16,
    window: Annotated[int, typer.Option(help="Tokens in a context.", min=1, max=256)] = 64,
    pairs: Annotated[
        int,
        typer.Option(
            help="How many pairs of feature and token a layer keeps, at 24 bytes each. Where more occur, the features "
            "that fire on most different tokens are counted on a sample.",
            min=0,
        ),
    ] = 1 << 25,
    shard: Annotated[
        int,
        typer.Option(metavar="TOKENS", help="After so many tokens the corpus is cut; what is done is kept.", min=1),
    ] = 1 << 18,
    bf16: Annotated[
        bool, typer.Option("--bf16", help="Compute in bfloat16: faster where there are units for it, near ties differ.")
    ] = False,
    device: Device = "auto",
    ray: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--ray",
            metavar="[ADDRESS]",
            help="Index on a Ray cluster: auto, HOST:PORT, or nothing (as the last option) for one of this machine.",
        ),
    ] = None,
    workers: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(help="How many workers, with --ray; else one a GPU, or one a machine without any.", min=1),
    ] = None,
    read_here: Annotated[
        bool,
        typer.Option("--read-here", help="With --ray: read the corpus in this process; other machines lack its files."),
    ] = False,
) -> None:
    """Find out where every feature of a model fires in a corpus.

    The index that was there before stays in use until this one is done. Called again after it was interrupted, it goes
    on where it stood.
    """
    from mfn_server.indexing import IndexOrder, run_index

    settings = settings_of(home=home, database=db)

    order = IndexOrder(
        model=model,
        corpora=tuple(corpora or ()),
        database_url=settings.database_url,
        home=settings.home,
        name=name,
        text_field=text_field,
        limit=limit,
        import_file=import_file,
        export_file=export_file,
        n_top=top,
        window=window,
        max_token_pairs=pairs,
        shard_tokens=shard,
        bf16=bf16,
        device=device,
        map=settings.map,
        ray=ray,
        workers=workers,
        read_here=read_here,
    )
    with telling() as tell:
        done = run_index(order, lambda phase, share, note: tell(f"{phase} {note}".rstrip(), share))
    out.print(done)


@app.command()
def weights(
    model: ModelFolder,
    db: Database = None,
    home: Home = None,
    draw: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--map", metavar="auto|pca|umap", help="How the map of features is drawn. [MFN_MAP, auto]"),
    ] = None,
    most_pairs: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(
            help="Leave out neighbours, or connections, where more pairs of features had to be compared. [10^10]",
            min=0,
        ),
    ] = None,
    anew: Annotated[bool, typer.Option("--anew", help="Compute what is there already, too.")] = False,
    device: Device = "auto",
) -> None:
    """Work out what a model's weights say of its features: logits, neighbours, connections, a map.

    mfn index does so, too. Here no corpus is read.
    """
    from mfn_server.weights.command import WeightOrder, run_weights

    settings = settings_of(home=home, database=db, map=draw)
    order = WeightOrder(model, settings.database_url, settings.map, most_pairs, anew, device)
    with telling() as tell:
        done = run_weights(order, tell)
    out.print(done, markup=False, soft_wrap=True)


@app.command()
def export_index(
    model: ModelFolder,
    folder: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to make.")],
    db: Database = None,
    home: Home = None,
    index_file: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--index", metavar="FILE|FOLDER", help="Export this finished index, not the database's."),
    ] = None,
    neuronpedia: Annotated[
        bool,
        typer.Option("--neuronpedia", help="Write dashboards, and labels as explanations, as Neuronpedia reads them."),
    ] = False,
) -> None:
    """Write a model's index as a folder of parquet tables, which other programs read, too.

    mfn index MODEL --import OUT makes it an index again.
    """
    from mfn_server.exchange.exporting import ExportOrder, run_export

    database_url = settings_of(home=home, database=db).database_url
    order = ExportOrder(model, folder, database_url, index_file, neuronpedia)
    out.print(run_export(order), markup=False, soft_wrap=True)


@app.command()
def import_explanations(
    model: ModelFolder,
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help="Explanations, .jsonl(.gz), or folders of such files."),
    ],
    db: Database = None,
    home: Home = None,
    layer: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(help="Layer that holds the features explained, where the files name another's source."),
    ] = None,
) -> None:
    """Take explanations from Neuronpedia as automatic labels.

    They are marked as written by a program and give way to any label of a person.
    """
    from mfn_server.exchange.neuronpedia.importing import run_import

    database_url = settings_of(home=home, database=db).database_url
    out.print(run_import(model, files, database_url, layer), markup=False, soft_wrap=True)


@app.command()
def info(
    what: Annotated[str, typer.Argument(metavar="MODEL|DB", help="Folder of a model, or a database.")],
    json_file: Annotated[
        Optional[Path],  # noqa: UP045 - typer reads the annotation at run time
        typer.Option("--json", metavar="FILE", help="Write the figures of the database's one index to this file, too."),
    ] = None,
) -> None:
    """Say what is in a model's folder, or in a database."""
    from mfn_server.info import describe, index_report

    for line in describe(what):
        out.print(line, markup=False)
    if json_file is not None:
        json_file.write_text(json.dumps(index_report(what), indent=2) + "\n")


@app.command()
def train(
    config: Annotated[Path, typer.Argument(help="What to train (TOML); see configs/.")],
    overrides: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            "--set", metavar="KEY=VALUE", help="A setting in place of the file's, such as mfn.k=16; repeatable."
        ),
    ] = None,
    run: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--run", help="Folder of the run; a run that was interrupted goes on. [runs/NAME]"),
    ] = None,
    data: Annotated[Path, typer.Option(help="Folder at which relative corpus paths of the config start.")] = Path(),
    begin: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            "--from",
            metavar="RUN",
            help="Folder of a run that differs in its layers of features alone: what it trained before they entered "
            "is taken over instead of trained again.",
        ),
    ] = None,
) -> None:
    """Train a model from a config file, or go on where an interrupted run stood. Works under torchrun, too."""
    from mfn_server.training import run_training

    run_training(config, overrides or [], run, data, err, begin)


app.add_typer(runs)
app.add_typer(effect)
labels.command()(suggest)
labels.command()(explain)
labels.command()(score)
labels.command()(work)
labels.command("export")(export_labels)
labels.command("import")(import_file)
app.add_typer(labels)
app.add_typer(users)
app.command()(backup)
app.command()(restore)
app.command()(equip)
app.command()(concepts)
app.command()(rates)
app.command("eval")(evaluate)
app.command()(ablate)
app.add_typer(toy)
app.command()(presets)
app.command()(find_presets)


def _serve(settings: Any, no_browser: bool) -> None:
    from mfn_server.serving import serve as run

    run(settings, lambda url: out.print(f"MFN Studio is at {url}  (Ctrl+C ends it)", soft_wrap=True), not no_browser)


def main() -> None:
    """Run the command. What a user can mend is one line on stderr and exit code 1; anything else is a bug and shows."""
    from mfn_core.errors import MFNError
    from mfn_server.db.session import explain

    try:
        app()
    except MFNError as error:
        _end(str(error))
    except DBAPIError as error:
        _end(str(explain(error, "the database")))
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
            raise
        _end(f"{error.filename or 'the disk'}: {error.strerror}")
    except KeyboardInterrupt:
        sys.exit(130)


def _end(message: str) -> None:
    err.print(f"Error: {message}", markup=False, soft_wrap=True)
    sys.exit(1)


if __name__ == "__main__":
    main()
