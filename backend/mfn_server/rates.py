"""`mfn rates`: how often the features of a model fire on a text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer
from rich.console import Console
from rich.table import Table

from mfn_server.options import ModelFolder
from mfn_server.printing import wide_console
from mfn_server.progress import telling

if TYPE_CHECKING:
    from mfn_core.data.mix import TokenRows
    from mfn_core.evaluation.rates import LayerRates
    from mfn_core.model import MFNModel


def rates(
    model: ModelFolder,
    text: Annotated[
        str,
        typer.Argument(
            metavar="TEXT", help="Folder of a training run, whose text is read; or a file, folder, glob or hf:NAME."
        ),
    ],
    tokens: Annotated[int, typer.Option(help="Most tokens to read.", min=1)] = 10_000_000,
    json_file: Annotated[
        Optional[Path],  # noqa: UP045 - typer reads the annotation at run time
        typer.Option("--json", metavar="FILE", help="Write the figures to this file, too."),
    ] = None,
) -> None:
    """Count how often each feature fires: which are dead or almost, and how many fire about as often as they should.

    Ctrl-C ends the count, and the figures are those of what was read.
    """
    from mfn_core.evaluation.rates import RateCount
    from mfn_core.model import MFNModel

    loaded = MFNModel.from_pretrained(model)
    start, rows = _rows(loaded, text, tokens)
    count = RateCount(loaded, start)
    with telling() as tell:
        try:
            count.read(rows, progress=lambda done: tell(f"{done:,} of {rows.size:,} tokens", done / rows.size))
        except KeyboardInterrupt:
            if not count.tokens:
                raise
            Console(stderr=True).print("Stopped: the figures are those of what was read.")
    found = count.rates()
    wide_console().print(_table(found, count.tokens))
    if json_file is not None:
        layers = {str(number): layer.to_json() for number, layer in found.items()}
        report = {"kind": "rates", "model": loaded.fingerprint, "tokens": count.tokens, "layers": layers}
        json_file.write_text(json.dumps(report, indent=2) + "\n")


def _rows(model: MFNModel, text: str, tokens: int) -> tuple[int, TokenRows]:
    """The token that begins a document, and rows [n, T] of at most so many tokens (but one row at least).

    Raises:
        MFNError: the run has not packed its text yet, or is of another vocabulary; or there is no text.
    """
    import numpy as np

    from mfn_core.data.corpus import read_corpus
    from mfn_core.data.mix import cut, encode
    from mfn_core.errors import CorpusError

    packed = Path(text) / "data" / "train.npy"
    if packed.exists():
        run: TokenRows = np.load(packed, mmap_mode="r")
        if int(run.max()) >= model.vocab_size:
            raise CorpusError(f"the run in {text} has another vocabulary than the model")
        recipe = json.loads((packed.parent / "recipe.json").read_text(encoding="utf-8"))
        return int(recipe["start"]), run[: max(1, tokens // run.shape[1])]
    start = model.bos_token_id or 0
    pieces: list[TokenRows] = []
    held = 0
    for document in read_corpus(text):
        pieces += encode(model.required_tokenizer, [document.text], start)
        held += len(pieces[-1])
        if held >= tokens:
            break
    context = min(model.max_context, 256)
    if held < context:
        raise CorpusError(f"{text} holds {held} tokens: give {context} at least")
    return start, cut(np.concatenate(pieces), max(1, min(held, tokens) // context), context, start)


def _table(found: dict[int, LayerRates], tokens: int) -> Table:
    table = Table(box=None, header_style="bold", title=f"{tokens:,} tokens", title_justify="left")
    for name in ("layer", "features", "dead", "under 1 in 10⁶", "live ones within 2 × of the target rate", "target"):
        table.add_column(name, justify="right")
    for number, layer in found.items():
        cells = (layer.dead, layer.ultra_rare, layer.near_target, layer.target)
        table.add_row(str(number), f"{len(layer.counts):,}", *(f"{cell:.1%}" for cell in cells))
    return table
