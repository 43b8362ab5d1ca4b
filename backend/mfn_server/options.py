"""Arguments and options that several commands have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

# typer reads annotations at run time, so `Path | None` has to be spelled out.
ModelFolder = Annotated[Path, typer.Argument(metavar="MODEL", help="Folder of an equipped model (a bundle).")]
Judge = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(
        "--judge", metavar="MODEL", help="Bundle that says how strange a text is: the dense twin. [MODEL itself]"
    ),
]
TableFile = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("--json", metavar="FILE", help="Write the table to this file, too."),
]
Device = Annotated[
    str, typer.Option("--device", help="Where the model computes: auto (a GPU where there is one), cpu, cuda:1, …")
]
