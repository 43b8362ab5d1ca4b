"""Write `docs/reference/cli.md` from what the commands say of themselves: `python -m scripts.cli_docs`."""

from __future__ import annotations

import os
from collections.abc import Iterator
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
    for arguments in _paths(group):
        # rich measures the terminal; a fixed width and no colour give the same text everywhere.
        plain = {"COLUMNS": "100", "TERM": "dumb", "NO_COLOR": "1", "FORCE_COLOR": None, "GITHUB_ACTIONS": None}
        result = CliRunner().invoke(app, [*arguments, "--help"], prog_name="mfn", env=plain)
        if result.exit_code != 0:
            raise RuntimeError(f"mfn {' '.join(arguments)} --help failed: {result.output}")
        text = "\n".join(line.rstrip() for line in result.output.strip().splitlines())
        sections.append(f"## {' '.join(['mfn', *arguments])}\n\n```text\n{text}\n```\n")
    return "\n".join(sections)


def _paths(group: typer.core.TyperGroup) -> Iterator[list[str]]:
    """What to type for a group, for each of its commands, and for theirs where they are groups themselves."""
    yield []
    for name, command in group.commands.items():
        inner = _paths(command) if isinstance(command, typer.core.TyperGroup) else iter([[]])
        yield from ([name, *path] for path in inner)


if __name__ == "__main__":
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(render(), encoding="utf-8")
    print(f"wrote {os.path.relpath(PAGE)}")
