"""The script that atlases are written and checked with: dossiers, merging, judging, counting."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import URL, make_url

from mfn_core.indexing.types import CorpusIndex
from mfn_core.training.card.measured import sections
from mfn_server.atlas.dossier import _characters, _joined
from mfn_server.atlas.file import read_atlas
from mfn_server.db.session import Database
from mfn_server.model_facts import ModelFacts
from scripts.atlas.__main__ import main

HARBOUR = {"layer": 0, "feature": 3, "label": "harbours", "seen": "all of ten contexts", "confidence": "high"}
UNCLEAR = {"layer": 1, "feature": 7, "unclear": True, "seen": "nothing in common"}


def lines(path: Path, *entries: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return path


def name_of(database: Database) -> str:
    """As the script's --db takes it."""
    url: URL = make_url(database.url)
    return url.render_as_string(hide_password=False) if database.path is None else str(database.path)


def test_a_dossier_shows_the_whole_range(
    indexed: Database, tiny_bundle: Path, tiny_index: CorpusIndex, capsys: pytest.CaptureFixture[str]
) -> None:
    layer = tiny_index.layers[1]
    feature = int(layer.firing_count.argmax())
    command = ["dossier", str(tiny_bundle), "--db", name_of(indexed), "--min-firings", "1"]
    assert main([*command, "--layer", "1", "--features", f"{feature}"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"## layer 1, feature {feature}  (")
    assert f"({layer.firing_count[feature]:,} of {tiny_index.n_tokens:,})" in text
    assert "strongest:\n  100%  " in text
    pieces = [line for line in text.splitlines() if line.startswith("  ")]
    assert len(pieces) == len(set(pieces)) <= 14
    assert all(line.count("⟦▲") == 1 for line in pieces)
    assert "promotes    “" in text
    assert "suppresses  “" in text


def test_what_is_drawn_depends_on_the_seed_alone(
    indexed: Database, tiny_bundle: Path, tiny_index: CorpusIndex, capsys: pytest.CaptureFixture[str]
) -> None:
    def drawn(*more: str) -> list[str]:
        assert main(["dossier", str(tiny_bundle), "--db", name_of(indexed), "--sample", "5", *more]) == 0
        return [line.split("  ")[0] for line in capsys.readouterr().out.splitlines() if line.startswith("## ")]

    first = drawn("--seed", "1", "--min-firings", "3")
    assert len(first) == 5
    assert drawn("--seed", "1", "--min-firings", "3") == first != drawn("--seed", "2", "--min-firings", "3")
    for line in first:
        number, feature = (int(part.rstrip(",")) for part in line.split() if part.rstrip(",").isdigit())
        assert tiny_index.layers[number].firing_count[feature] >= 3
    often = int(tiny_index.layers[0].firing_count.max())
    assert len(drawn("--layer", "0", "--min-firings", str(often))) == int(
        np.sum(tiny_index.layers[0].firing_count == often)
    )


def test_bytes_become_characters() -> None:
    tokens = ["⟨84⟩", "⟨eb 90⟩", "⟨94⟩", "이", " a", "⟨20 d7⟩", "⟨a9⟩", "⟨d7⟩", "b", "⟨e3⟩"]
    stretches = list(_characters(tokens, 0, len(tokens)))
    assert [_joined(tokens[a:b]) for a, b in stretches] == ["\ufffd", "됔", "이", " a", " ש", "\ufffd", "b", "\ufffd"]
    assert stretches[0][0] == 0
    assert [b for _, b in stretches][:-1] == [a for a, _ in stretches][1:]


def test_parts_become_an_atlas(
    tmp_path: Path, tiny_bundle: Path, tiny_facts: ModelFacts, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "atlas.jsonl"
    parts = [lines(tmp_path / "a.jsonl", UNCLEAR), lines(tmp_path / "b.jsonl", HARBOUR)]
    merge = ["merge", "-o", str(out), "--model", str(tiny_bundle), "--how", "by hand"]
    assert main([*merge, *map(str, parts)]) == 0
    assert "2 features (1 high, 0 medium, 0 low, 1 unclear)" in capsys.readouterr().out
    atlas = read_atlas(out)
    assert (atlas.header.model, atlas.header.how) == (tiny_facts.fingerprint, "by hand")
    assert [entry.feature for entry in atlas.entries.values()] == [3, 7]
    more = lines(tmp_path / "c.jsonl", {**HARBOUR, "feature": 4})
    assert main([*merge, str(out), str(more)]) == 0, "an atlas can be gone on with"
    assert len(read_atlas(out).entries) == 3

    before = out.read_bytes()
    for wrong, message in (
        (HARBOUR, "line 1: feature 3 of layer 0 stands in"),
        ({**HARBOUR, "feature": 99}, "line 1: there is no feature 99 in layer 0"),
        ({**HARBOUR, "label": ""}, "line 1: label: must not be blank"),
    ):
        assert main([*merge, str(out), str(lines(tmp_path / "d.jsonl", wrong))]) == 1
        assert message in capsys.readouterr().err
    assert out.read_bytes() == before


def test_labels_are_judged_on_other_text(
    indexed: Database, tmp_path: Path, tiny_bundle: Path, tiny_index: CorpusIndex, capsys: pytest.CaptureFixture[str]
) -> None:
    firing = [int(n) for n in tiny_index.layers[0].firing_count.nonzero()[0][:6]]
    part = lines(tmp_path / "a.jsonl", *({**HARBOUR, "feature": n} for n in firing), UNCLEAR)
    out = tmp_path / "atlas.jsonl"
    assert main(["merge", str(part), "-o", str(out), "--model", str(tiny_bundle)]) == 0
    capsys.readouterr()
    check = ["check", str(out), str(tiny_bundle), "--db", name_of(indexed), "--sample", "4", "--min-firings", "1"]
    assert main(check) == 0
    text = capsys.readouterr().out
    assert text.startswith("4 of 6 labels")
    assert text.count("\n## layer 0, feature ") == text.count("\nLABEL       harbours  (high confidence") == 4
    fingerprint = read_atlas(out).header.model
    out.write_text(out.read_text().replace(fingerprint, "0" * 64))
    assert main(check) == 1
    assert "is the atlas of another model" in capsys.readouterr().err


def test_verdicts_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kinds = ["held"] * 7 + ["partly"] * 2 + ["not"]
    verdicts = [{"layer": 1, "feature": n, "verdict": kind, "note": "x"} for n, kind in enumerate(kinds)]
    path = lines(tmp_path / "verdicts.jsonl", *verdicts)
    assert main(["tally", str(path)]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == "held       7 of 10   70.0%  (95 %: 39.7% to 89.2%)"
    assert [line.split()[:2] for line in shown] == [["held", "7"], ["partly", "2"], ["not", "1"]]
    lines(path, *verdicts, verdicts[0])
    assert main(["tally", str(path)]) == 1
    assert "line 11: feature 0 was judged before" in capsys.readouterr().err
    lines(path, {**verdicts[0], "verdict": "good"})
    assert main(["tally", str(path)]) == 1
    assert "line 1: verdict: Input should be 'held', 'partly' or 'not'" in capsys.readouterr().err


def test_a_tally_becomes_a_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    header = {"format": "mfn-atlas", "version": 1, "model": "e" * 64, "how": "by hand."}
    labelled = [{**HARBOUR, "feature": n, "confidence": "low" if n < 4 else "high"} for n in range(12)]
    atlas = lines(tmp_path / "atlas.jsonl", header, *labelled, UNCLEAR)
    verdicts = [{"layer": 0, "feature": n, "verdict": "not" if n < 3 else "held"} for n in range(10)]
    path, out = lines(tmp_path / "verdicts.jsonl", *verdicts), tmp_path / "report.json"
    assert main(["tally", str(path), "--atlas", str(atlas), "--json", str(out)]) == 0
    report = json.loads(out.read_text())
    counts = {"features": 12, "unclear": 1, "confidence": {"high": 8, "medium": 0, "low": 4}, "checked": 10}
    assert {name: report[name] for name in ("kind", "model", "how", *counts)} == {
        "kind": "atlas",
        "model": "e" * 64,
        "how": "by hand.",
        **counts,
    }
    assert [report[kind]["value"] for kind in ("held", "partly", "not")] == [0.7, 0.0, 0.3]
    assert report["held"]["interval"] == pytest.approx([0.397, 0.892], abs=1e-3)
    heading, note, table = sections({"atlas": report})
    assert heading == "## Labels"
    assert "12 features have an automatic label; 1 more were read and found unclear." in note
    assert "8 high, 0 medium, 4 low. How they were written: by hand. Then 10 labels" in note
    assert "| held | 7 | 0.700 (0.40–0.89) |" in table

    out.unlink()
    assert main(["tally", str(path), "--json", str(out)]) == 1
    assert "--json goes with --atlas" in capsys.readouterr().err
    lines(path, *verdicts, {"layer": 1, "feature": 7, "verdict": "held"})
    assert main(["tally", str(path), "--atlas", str(atlas), "--json", str(out)]) == 1
    assert "line 11: the atlas has no label for feature 7 of layer 1" in capsys.readouterr().err
    assert not out.exists()
