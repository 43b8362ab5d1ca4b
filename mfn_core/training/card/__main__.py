"""Adds reports to the card of a bundle: see `measured`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from mfn_core.errors import MFNError
from mfn_core.training.card.measured import add_reports
from mfn_core.training.card.page import as_markdown


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m mfn_core.training.card", description="Add reports of measurements to a model's card."
    )
    parser.add_argument("model", type=Path, help="folder of the bundle")
    parser.add_argument("reports", type=Path, nargs="*", help="what commands wrote with --json")
    given = parser.parse_args(arguments)
    try:
        card = add_reports(given.model, given.reports)
    except MFNError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    text = json.dumps(card, indent=1, ensure_ascii=False) + "\n"
    (given.model / "card.json").write_text(text, encoding="utf-8")
    (given.model / "README.md").write_text(as_markdown(card), encoding="utf-8")
    sys.stdout.write(f"{given.model}: {', '.join(card['measured']) or 'no reports'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
