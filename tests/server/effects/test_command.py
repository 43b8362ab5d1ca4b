"""`mfn effect`: tables when all is well, one line when it is not."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mfn_core import Intervention, Scope
from mfn_core.errors import ConfigError, InterventionError
from mfn_server import cli
from mfn_server.effects.command import turn_of

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tiny_bundle: Path) -> Run:
    """Runs a subcommand of `mfn effect` on the tiny model: exit code, and what it printed to both streams."""

    def call(name: str, *arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["mfn", "effect", name, str(tiny_bundle), *map(str, arguments)])
        try:
            cli.main()
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
        return code, *capsys.readouterr()

    return call


def test_each_command_prints_its_table_and_writes_it(run: Run, tmp_path: Path) -> None:
    table = tmp_path / "table.json"
    turned = ("-p", "The ship", "-f", "1/7,set,6,generation")
    code, out, _ = run("predict", *turned, "--top", 3, "--token", "#70", "--json", table)
    assert code == 0
    assert "First order against measured" in out
    assert json.loads(table.read_text())["kind"] == "prediction"
    for method, name in (("path", "The path"), ("secant", "Secants")):
        code, out, _ = run("predict", *turned, "--top", 3, "--method", method)
        assert code == 0
        assert f"{name} against measured" in out
    code, out, _ = run("sweep", *turned, "--doses", "1,20", "--tokens", 4, "--token", "e", "--json", table)
    assert code == 0
    assert [row["dose"] for row in json.loads(table.read_text())["rows"]] == [1.0, 20.0]
    code, out, _ = run("sweet-spot", *turned, "--words", "the", "--samples", 1, "--tokens", 3, "--json", table)
    assert code == 0
    assert "optimised: most of the concept" in out
    assert len(json.loads(table.read_text())["rows"]) == 12


def test_interventions_are_written_as_in_links() -> None:
    assert turn_of("3/812,set,6") == Intervention(3, 812, "set", 6.0)
    assert turn_of("0/1,ablate") == Intervention(0, 1, "ablate")
    assert turn_of("0/1,add,-2.5,generation:0-16") == Intervention(0, 1, "add", -2.5, Scope("generation", 0, 16))
    assert turn_of("0/1,scale,2,4-") == Intervention(0, 1, "scale", 2.0, Scope("range", 4))
    for text in ("3", "3/x,set,1", "3/1,set", "3/1,set,much", "3/1,set,1,both,more"):
        with pytest.raises(ConfigError, match="is not a feature and what to do with it"):
            turn_of(text)
    with pytest.raises(InterventionError):
        turn_of("3/1,turn,1")
    with pytest.raises(InterventionError):
        turn_of("3/1,set,1,everywhere")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("predict", "-f", "1/48,set,1"), "feature 48 does not exist"),
        (("predict", "-f", "1/7,set,1", "--token", "no such token"), "no token 'no such token'"),
        (("sweep", "-f", "1/7,ablate"), "nothing to sweep"),
        (("sweep", "-f", "1/7,set,1", "--doses", "1,x"), "are not numbers"),
        (("sweet-spot", "-f", "1/7,set,1", "--words", "a", "--pattern", "b"), "measured in one way"),
    ],
)
def test_what_is_wrong_is_one_line(run: Run, arguments: tuple[str, ...], message: str) -> None:
    name, *rest = arguments
    code, _, err = run(name, "-p", "Snow", *rest)
    assert code == 1
    assert message in err
    assert len(err.strip().splitlines()) == 1
