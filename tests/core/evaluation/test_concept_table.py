"""A measurement that was interrupted goes on where it stood, and ends as if it had not been."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mfn_core.errors import ConfigError
from mfn_core.evaluation.concept_table import ConceptTable, settings
from mfn_core.evaluation.concepts import Unit
from mfn_core.evaluation.journal import Journal
from mfn_core.evaluation.labelled import LabelledTokens
from mfn_core.model import MFNModel

UNITS: dict[str, Unit] = {"a": "token", "b": "token", "c": "token", "d": "token", "random": "token"}
PLANTED = ((0, 0), (0, 1), (1, 0), (1, 1))  # a to d: layer, and the place of a feature among those that fire most there


@pytest.fixture(scope="module")
def texts(tiny_model: MFNModel) -> list[LabelledTokens]:
    """Four concepts that are firings of a feature, and one that is chance."""
    rng = np.random.default_rng(5)
    rows = [
        np.concatenate([[0], rng.integers(1, tiny_model.vocab_size, int(rng.integers(5, 12)))]).astype(np.int64)
        for _ in range(16)
    ]
    with torch.no_grad():
        traces = [tiny_model(torch.from_numpy(row)[None], record=True).traces for row in rows]
    fires = {n: [trace[n].codes.dense()[0].numpy() > 0 for trace in traces] for n in (0, 1)}
    often = {n: np.argsort(-np.sum([each.sum(0) for each in layer], axis=0)) for n, layer in fires.items()}
    out = []
    for number, row in enumerate(rows):
        labels = np.zeros((len(row), len(UNITS)), dtype=np.int8)
        for column, (layer, place) in enumerate(PLANTED):
            labels[1:, column] = fires[layer][number][1:, often[layer][place]]
        labels[1:, 4] = rng.random(len(row) - 1) < 0.2
        out.append(LabelledTokens(row, labels, number % 2 == 1))
    return out


def close(one: list[Any], other: list[Any]) -> bool:
    """The same detectors, features and texts, and means that differ by rounding alone."""
    if one[0] != other[0] or one[1].keys() != other[1].keys():
        return False
    pairs = [(effect, other[1][name]) for name, effect in one[1].items()]
    same = all((a.control, a.texts, a.changes) == (b.control, b.texts, b.changes) for a, b in pairs)
    return same and all(a.above_control == pytest.approx(b.above_control, abs=1e-6) for a, b in pairs)


def measured(
    model: MFNModel, texts: list[LabelledTokens], journal: Journal, progress: Callable[[str, float], None] | None = None
) -> list[Any]:
    table = ConceptTable(model, texts, UNITS, journal, *([progress] if progress else []))
    detectors = table.detectors()
    return [detectors, table.effects(detectors)]


def test_what_is_done_is_not_done_again(
    tiny_model: MFNModel, texts: list[LabelledTokens], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = settings(tiny_model, texts, UNITS)
    expected = measured(tiny_model, texts, Journal(None, given))
    detectors, effects = expected
    assert set(effects) == {d.concept for d in detectors if d.found} == {"a", "b", "c", "d"}
    path = tmp_path / "journal"
    told: list[tuple[str, float]] = []

    def stop_at_the_third(what: str, share: float) -> None:
        told.append((what, share))
        if "3 of 4" in what:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measured(tiny_model, texts, Journal(path, given), stop_at_the_third)
    lines = path.read_text().splitlines(keepends=True)
    assert [json.loads(line).get("key", "").split("/")[0] for line in lines] == ["", "detectors", "ablated", "ablated"]
    path.write_text("".join(lines) + lines[-1][: len(lines[-1]) // 2])  # killed while it wrote
    told.clear()
    went_on = measured(tiny_model, texts, Journal(path, given), lambda what, share: told.append((what, share)))
    assert close(went_on, expected)
    assert [what.split(",")[1] for what, _ in told if what.startswith("ablating")] == [" 1 of 2", " 2 of 2"]
    assert not any(what.startswith("looking") for what, _ in told)
    monkeypatch.setattr(MFNModel, "forward", None)
    assert measured(tiny_model, texts, Journal(path, given)) == went_on


def test_how_far_it_is_is_told(tiny_model: MFNModel, texts: list[LabelledTokens]) -> None:
    told: list[tuple[str, float]] = []
    journal = Journal(None, settings(tiny_model, texts, UNITS))
    measured(tiny_model, texts, journal, lambda what, share: told.append((what, share)))
    phases = {
        first: [share for what, share in told if what.startswith(first)] for first in ("looking", "reading", "ablating")
    }
    for phase in ("looking", "reading"):
        shares = phases[phase]
        assert (shares[0], shares[-1], sorted(shares)) == (0.0, 1.0, shares)
    assert phases["ablating"] == [0.0, 0.25, 0.5, 0.75]


def test_a_journal_of_other_work_is_refused(tiny_model: MFNModel, texts: list[LabelledTokens], tmp_path: Path) -> None:
    path = tmp_path / "journal"
    Journal(path, settings(tiny_model, texts, UNITS))
    other = [*texts[:-1], LabelledTokens(texts[-1].ids, 1 - texts[-1].labels, texts[-1].scored)]
    with pytest.raises(ConfigError, match=r"other settings \(texts\)"):
        Journal(path, settings(tiny_model, other, UNITS))
    with pytest.raises(ConfigError, match=r"other settings \(concepts\)"):
        Journal(path, settings(tiny_model, texts, {**UNITS, "random": "text"}))
    path.write_text("a table of mine\n")
    with pytest.raises(ConfigError, match="no journal"):
        Journal(path, settings(tiny_model, texts, UNITS))
    assert path.read_text() == "a table of mine\n"
