"""Check the types of the dashboard's JavaScript: `python -m scripts.js_types`, in `make lint`.

The compiler closes the literals of JavaScript (so that a misspelt `strings.help.palete` is an error) only where
`noImplicitAny` is on, which also asks for a type of every parameter. Answers of the server come without types here, and
most parameters are parts of them; so those complaints (TS70…, "implicitly has an 'any' type") are left out, and every
other one counts.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_UNTYPED = re.compile(r": error TS70\d\d: ")
_CONTINUED = " "
"""Further lines of one complaint are indented."""


def wrong(report: str) -> list[str]:
    """The lines of the compiler's report that count.

    Args:
        report: what `tsc --noImplicitAny --pretty false` printed.
    """
    kept: list[str] = []
    counts = True
    for line in report.splitlines():
        if not line.startswith(_CONTINUED):
            counts = _UNTYPED.search(line) is None
        if counts and line.strip():
            kept.append(line)
    return kept


def main() -> int:
    """Prints what is wrong; 1 where anything is."""
    node = Path(sys.executable).with_name("node")
    compiler = ROOT / "node_modules" / "typescript" / "bin" / "tsc"
    if not compiler.is_file():
        print("the compiler is missing: make lint-js installs it", file=sys.stderr)
        return 1
    ran = subprocess.run(  # noqa: S603
        [node, compiler, "--noImplicitAny", "--pretty", "false"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    found = wrong(ran.stdout)
    if ran.returncode not in (0, 1, 2) or ran.stderr or (ran.returncode and not ran.stdout):
        found.append(ran.stderr or f"tsc ended with {ran.returncode}")
    print("\n".join(found) if found else "types: nothing wrong")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
