"""Arguments and options that several commands have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Optional

import typer
from typer.core import TyperCommand

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
Labels = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option(
        "--labels",
        metavar="FILE|FOLDER",
        help="Labelled text, JSON lines; repeatable. [what comes with MFN Studio]",
    ),
]
Scripts = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option(
        "--scripts",
        metavar="CORPUS",
        help="Text in many scripts, which needs no labels; repeatable. [what comes with MFN Studio]",
    ),
]
Formats = Annotated[int, typer.Option("--formats", help="Generated documents of each format to add.", min=0)]
Device = Annotated[
    str, typer.Option("--device", help="Where the model computes: auto (a GPU where there is one), cpu, cuda:1, …")
]
Database = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--db", metavar="FILE|URL", help="Database: an SQLite file, or postgresql://… [MFN_DATABASE]"),
]
Home = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(help="Folder where the app keeps its database. [MFN_HOME]", file_okay=False),
]


def settings_of(**given: Any) -> Any:
    """Settings from the environment, replaced by what the command line gives."""
    from pydantic import ValidationError

    from mfn_core.errors import ConfigError
    from mfn_server.settings import Settings

    try:
        return Settings(**{key: value for key, value in given.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        name = "_".join(str(part) for part in first["loc"]).upper()
        raise ConfigError(f"MFN_{name}: {first['msg']}") from None


class RayMayBeBare(TyperCommand):
    """A command whose option --ray may stand without an address where no argument follows: then it means `local`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Spells the address out."""
        spelled: list[str] = []
        for number, argument in enumerate(args):
            spelled.append(argument)
            if argument == "--ray" and (number + 1 == len(args) or args[number + 1].startswith("-")):
                spelled.append("local")
        return super().parse_args(ctx, spelled)
