"""`mfn equip`: any causal LM of a known family, given layers of features and trained on some text."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Optional

import typer
from rich.console import Console


def equip(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A causal LM: a folder, or a name on the hub.")],
    layers: Annotated[str, typer.Option(metavar="BLOCKS", help="Blocks to equip: 0-4,7 or all.")],
    data: Annotated[
        list[str],
        typer.Option(metavar="CORPUS", help="Text to train on, as mfn index takes it; repeatable."),
    ],
    held_out: Annotated[
        Optional[list[str]],  # noqa: UP045 - typer reads the annotation at run time
        typer.Option(metavar="CORPUS", help="Text to measure on, never trained on. [a tenth of the data, at most]"),
    ] = None,
    features: Annotated[str, typer.Option(help="Features in a layer: a number, or a multiple of the width.")] = "16x",
    k: Annotated[int, typer.Option("--k", help="How many of them may fire on a token.", min=1)] = 16,
    site: Annotated[str, typer.Option(help="Where in a block: resid_mid, resid_pre, resid_post, mlp_out.")] = (
        "resid_mid"
    ),
    freeze: Annotated[bool, typer.Option("--freeze", help="Leave the model's own weights as they are.")] = False,
    tokens: Annotated[str, typer.Option(help="How many tokens to train on, such as 500k or 2M.")] = "2M",
    out: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Folder of the run, the model within; a run that was interrupted goes on. [runs/NAME-mfn]"),
    ] = None,
) -> None:
    """Give a causal LM layers of features, and train them on text of yours."""
    from mfn_core.training.equip import Order, config_of, parse_tokens, write_text
    from mfn_server.training import run_config

    order = Order(model, layers, tuple(data), tuple(held_out or ()), features, k, site, freeze, parse_tokens(tokens))
    config = config_of(order)
    folder = out or Path("runs") / config.name
    console = Console(stderr=True, highlight=False)
    if os.environ.get("RANK", "0") == "0":  # under torchrun the others wait for what the first makes
        console.print("reading text", markup=False)
        write_text(order, config, folder)
    run_config(config, folder, folder, console)
