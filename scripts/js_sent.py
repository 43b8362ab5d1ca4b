"""Check that what is sent of the dashboard's scripts is the program that was written: `python -m scripts.js_sent`.

`mfn_server.assets` takes out comments and indentation; here a parser reads both and compares the trees. In `make lint`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from mfn_server.assets import without_comments

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Prints the scripts that would change their meaning; 1 where there are any."""
    texts = {file: file.read_text(encoding="utf-8") for file in sorted((ROOT / "frontend").rglob("*.js"))}
    pairs = [[file.relative_to(ROOT).as_posix(), text, without_comments(text)] for file, text in texts.items()]
    node = Path(sys.executable).with_name("node")
    program = ROOT / "scripts" / "same_program.mjs"
    ran = subprocess.run([node, program], input=json.dumps(pairs), text=True, check=False)  # noqa: S603
    if ran.returncode == 0:
        written, sent = (sum(len(pair[which]) for pair in pairs) for which in (1, 2))
        print(f"sent as written, but for comments and indentation: {len(pairs)} scripts, {1 - sent / written:.0%} less")
    return ran.returncode


if __name__ == "__main__":
    sys.exit(main())
