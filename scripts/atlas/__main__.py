"""The command line."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mfn_core.errors import MFNError
from mfn_server.naming.held_out import SNIPPETS
from scripts.atlas.beyond import beyond
from scripts.atlas.dossiers import print_check, print_dossiers
from scripts.atlas.index import FEWEST_FIRINGS, Place
from scripts.atlas.merging import merge
from scripts.atlas.quiz import FEWEST_DOCUMENTS, make_quiz, read_places
from scripts.atlas.scoring import score
from scripts.atlas.tallying import tally


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; gives the exit status."""
    given = _parser().parse_args(arguments)
    try:
        given.run(given)
    except MFNError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.atlas", description="Writes and checks the labels that ship with a model."
    )
    commands = parser.add_subparsers(required=True)

    command = commands.add_parser("dossier", help="print what a reader needs to label features")
    _index_arguments(command)
    command.add_argument("--layer", type=int, help="of this layer alone; required with --features")
    which = command.add_mutually_exclusive_group(required=True)
    which.add_argument("--features", type=_numbers, metavar="A-B,C", help="these features")
    which.add_argument("--sample", type=int, metavar="N", help="so many, drawn at random")
    command.set_defaults(run=print_dossiers)

    command = commands.add_parser("merge", help="join parts into an atlas")
    command.add_argument("parts", type=Path, nargs="+", metavar="PART", help="features, one a line; or an atlas")
    command.add_argument("-o", "--out", type=Path, required=True, help="where to write the atlas")
    command.add_argument("--model", type=Path, required=True, help="folder of the model")
    command.add_argument("--how", default="", help="who or what wrote the labels, and how they were checked")
    command.set_defaults(run=merge)

    command = commands.add_parser("check", help="print labels beside dossiers of other text, to be judged")
    command.add_argument("atlas", type=Path)
    _index_arguments(command)
    command.add_argument("--sample", type=int, metavar="N", default=60, help="so many labels, drawn at random [60]")
    command.set_defaults(run=print_check)

    command = commands.add_parser("tally", help="count verdicts")
    command.add_argument("verdicts", type=Path)
    command.add_argument("--atlas", type=Path, help="whose labels were judged: others are refused")
    command.add_argument("--json", type=Path, metavar="REPORT", help="also write a report here; needs --atlas")
    command.set_defaults(run=tally)

    command = commands.add_parser("quiz", help="print labels beside snippets of other text: in which do they fire?")
    command.add_argument("atlas", type=Path)
    command.add_argument("model", type=Path, help="folder of the model")
    command.add_argument("corpus", help="text that no label was read from: a file, a folder, a glob or hf:NAME")
    command.add_argument("--key", type=Path, required=True, metavar="KEY", help="where to write the right answers")
    which = command.add_mutually_exclusive_group()
    which.add_argument("--sample", type=int, metavar="N", default=60, help="so many labels, drawn at random [60]")
    which.add_argument("--features", type=_places, metavar="L/F,L/F", help="these features")
    which.add_argument("--features-file", type=Path, metavar="FILE", help="the features that stand here, as L/F")
    command.add_argument("--layers", type=_numbers, metavar="A-B,C", help="of these layers alone")
    command.add_argument("--documents", type=int, metavar="N", help="read so many documents at most")
    command.add_argument("--seed", type=_natural, default=0, help="of what is drawn [0]")
    command.add_argument(
        "--strong",
        type=_share,
        default=0.0,
        metavar="SHARE",
        help="draw only firings of at least this share of a feature's maximum in the index; needs --db [0: all]",
    )
    command.add_argument("--db", metavar="FILE|URL", help="index of the model, for token R² in the key")
    command.description = (
        f"Asks, of labelled features that fire at least {FEWEST_FIRINGS} times and in {FEWEST_DOCUMENTS} documents of "
        f"a text, in which of {SNIPPETS} snippets they fire."
    )
    command.set_defaults(run=make_quiz)

    command = commands.add_parser("score", help="compare a quiz's answers with its key")
    command.add_argument("key", type=Path)
    command.add_argument("answers", type=Path)
    command.add_argument("--json", type=Path, metavar="REPORT", help="also write a report here")
    command.set_defaults(run=score)

    command = commands.add_parser("beyond", help="estimate how many features see beyond their token and can be named")
    command.add_argument("key", type=Path)
    command.add_argument("answers", type=Path)
    command.add_argument("atlas", type=Path)
    command.add_argument("model", type=Path, help="folder of the model")
    command.add_argument("--db", required=True, metavar="FILE|URL", help="database with the model's index")
    command.add_argument("--json", type=Path, metavar="REPORT", help="also write a report here")
    command.set_defaults(run=beyond)
    return parser


def _index_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("model", type=Path, help="folder of the model")
    command.add_argument("--db", required=True, metavar="FILE|URL", help="database with the model's index")
    command.add_argument("--seed", type=int, default=0, help="of what is drawn [0]")
    command.add_argument(
        "--min-firings",
        type=int,
        default=FEWEST_FIRINGS,
        help=f"leave out features that fire less often [{FEWEST_FIRINGS}]",
    )


def _numbers(text: str) -> list[int]:
    """ "3,7-9" -> [3, 7, 8, 9]."""
    numbers: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        numbers += range(int(first), int(last or first) + 1)
    return numbers


def _places(text: str) -> list[Place]:
    try:
        return read_places(text)
    except MFNError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no share, 0 up to 1")
    return share


def _natural(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 up")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
