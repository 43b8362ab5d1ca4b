"""Write `docs/reference/cli.md` from what the commands say of themselves: `python -m scripts.cli_docs`."""

from __future__ import annotations

import os
from pathlib import Path

import typer.core
import typer.main
from typer.testing import CliRunner

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "cli.md"

HEAD = """# The command line

What `--help` says, command by command. This page is written by `make cli-docs` and a test compares it.
"""


def render() -> str:
    """The whole page, as the installed commands have it."""
    from mfn_server.cli import app

    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    sections = [HEAD]
    for arguments in ([], *([name] for name in group.commands)):
        # rich measures the terminal; a fixed width and no colour give the same text everywhere.
        plain = {"COLUMNS": "100", "TERM": "dumb", "NO_COLOR": "1", "FORCE_COLOR": None, "GITHUB_ACTIONS": None}
        result = CliRunner().invoke(app, [*arguments, "--help"], prog_name="mfn", env=plain)
        if result.exit_code != 0:
            raise RuntimeError(f"mfn {' '.join(arguments)} --help failed: {result.output}")
        text = "\n".join(line.rstrip() for line in result.output.strip().splitlines())
        sections.append(f"## {' '.join(['mfn', *arguments])}\n\n```text\n{text}\n```\n")
    return "\n".join(sections)


if __name__ == "__main__":
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(render(), encoding="utf-8")
    print(f"wrote {os.path.relpath(PAGE)}")
