"""The command line of the benchmarks."""

from __future__ import annotations

import argparse
import ast
import importlib
import inspect
import json
import sys
from pathlib import Path

from rich.console import Console

from benchmarks.harness import Result, show

_FOLDER = Path(__file__).parent
_NOT_BENCHMARKS = {"__init__", "__main__", "harness", "serving"}
_OPTIONS = {
    "peer": "compares with no peer",
    "features": "takes no --features",
    "keep": "makes nothing that could be kept",
    "database": "writes to no database",
}
"""Options that some benchmarks take, and what is said of one that does not."""


def available() -> dict[str, str]:
    """Name → description of each benchmark, read without importing any."""
    found = {}
    for file in sorted(_FOLDER.glob("*.py")):
        if file.stem not in _NOT_BENCHMARKS:
            text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
            found[file.stem] = text.partition("\n")[0]
    return found


def main(arguments: list[str] | None = None) -> int:
    """Lists the benchmarks, or runs one; gives the exit status."""
    names = available()
    width = max(map(len, names))
    listing = "\n".join(f"  {name:<{width}}  {description}" for name, description in names.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Runs one benchmark; without a name, lists them.",
        epilog=f"benchmarks:\n{listing}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", nargs="?", choices=names, metavar="NAME", help="the benchmark to run")
    parser.add_argument("--quick", action="store_true", help="smaller sizes: shows that it runs, proves nothing")
    parser.add_argument(
        "--peer",
        metavar="PYTHON",
        help="another's Python, to compare with: sae-lens (layer, steer), sae-dashboard (index_peer)",
    )
    parser.add_argument("--features", type=int, metavar="N", help="how many features (index_memory, storage, browse…)")
    parser.add_argument(
        "--keep", metavar="FOLDER", type=Path, help="where made-up indexes stay, to use again (browse…)"
    )
    parser.add_argument("--database", metavar="URL", help="an empty database to write to (storage, browse)")
    parser.add_argument("--json", action="store_true", help="after the table, one JSON object on the last line")
    given = parser.parse_args(arguments)
    if given.name is None:
        print(listing)
        return 0
    run = importlib.import_module(f"benchmarks.{given.name}").run
    options = {name: value for name in _OPTIONS if (value := getattr(given, name)) is not None}
    for name in options.keys() - inspect.signature(run).parameters.keys():
        parser.error(f"{given.name} {_OPTIONS[name]} {given.features if name == 'features' else ''}".rstrip())
    if options.get("features", 1) < 1:
        parser.error(f"{given.name} takes no --features {given.features}")
    result: Result = run(quick=given.quick, **options)
    show(given.name, result, Console())
    if given.json:
        print(json.dumps(result.to_json(given.name), allow_nan=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
