"""Which features lie in which batch file. The files stay where they are, and are read again for each feature asked for.

There is no model of ours behind them, and so they are in no table: see docs/decisions.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from mfn_server.exchange.neuronpedia.dashboards import DashboardBatch, DashboardError, DashboardFeature, read_batch

_SHOWN = 6  # promoted tokens, and tokens at peaks, of a list's row
_FILES_KEPT = 4  # parsed ones; next to a feature stand those of its file


@dataclass(frozen=True)
class Summary:
    """A feature as a list shows it.

    Attributes:
        index: its number.
        rate: share of tokens on which it fires, as its dashboard says.
        maximum: the largest value in its contexts; 0 without any.
        peaks: the tokens on which its strongest contexts peak, each once.
        promoted: the tokens whose logits it raises most.
        file: where its dashboard is.
    """

    index: int
    rate: float
    maximum: float
    peaks: tuple[str, ...]
    promoted: tuple[str, ...]
    file: Path


@dataclass(frozen=True)
class ForeignSource:
    """One set of features. `key` names it in URLs; the rest is as the files have it."""

    key: str
    model: str
    layer: int
    set: str
    suffix: str | None
    dataset: str
    features: Mapping[int, Summary]


class ForeignStore:
    """All sources of some folders, by key."""

    def __init__(self, sources: Iterable[ForeignSource] = ()) -> None:
        self.sources = {source.key: source for source in sources}

    @classmethod
    def of_folders(cls, folders: Sequence[Path]) -> ForeignStore:
        """Read every `batch-N.json` in and below the folders.

        Raises:
            DashboardError: a folder has none; or what is wrong in which file.
        """
        found: dict[str, tuple[DashboardBatch, str, dict[int, Summary]]] = {}
        for folder in folders:
            for file in _batch_files(folder):
                _take(found, file)
        return cls(
            ForeignSource(
                key,
                batch.model_id,
                batch.layer,
                batch.sae_set,
                batch.sae_id_suffix,
                dataset,
                dict(sorted(rows.items())),
            )
            for key, (batch, dataset, rows) in sorted(found.items())
        )

    def dashboard(self, summary: Summary) -> DashboardFeature:
        """All that a feature's file says of it. Raises DashboardError where the file is not as it was."""
        feature = _features(summary.file).get(summary.index)
        if feature is None:
            raise DashboardError(f"{summary.file} has changed: feature {summary.index} is no longer in it")
        return feature


def peak(values: Sequence[float]) -> int:
    """The first place of the largest number; NaN is none."""
    return max(range(len(values)), key=lambda place: (_finite(values[place]), -place))


def _take(found: dict[str, tuple[DashboardBatch, str, dict[int, Summary]]], file: Path) -> None:
    batch = read_batch(file)
    suffix = "" if batch.sae_id_suffix is None else f"__{batch.sae_id_suffix}"
    key = re.sub(r"[^\w.@-]", "_", f"{batch.model_id}@{batch.layer}-{batch.sae_set}{suffix}")
    dataset = next((feature.dataset for feature in batch.features if feature.dataset), "")
    first, said, rows = found.setdefault(key, (batch.model_copy(update={"features": []}), dataset, {}))
    if (first.model_id, first.layer, first.sae_set) != (batch.model_id, batch.layer, batch.sae_set):
        raise DashboardError(f"{file}: {batch.model_id} and {first.model_id} would both be called {key}")
    found[key] = (first, said or dataset, rows)
    for feature in batch.features:
        if feature.feature_index in rows:
            other = rows[feature.feature_index].file
            raise DashboardError(f"feature {feature.feature_index} of {key} is in {other} and in {file}")
        rows[feature.feature_index] = _summary(feature, file)


def _summary(feature: DashboardFeature, file: Path) -> Summary:
    strongest = [(max(map(_finite, one.values)), one) for one in feature.activations if one.values]
    strongest.sort(key=lambda pair: -pair[0])
    peaks = dict.fromkeys(one.tokens[peak(one.values)] for value, one in strongest if value > 0)
    return Summary(
        index=feature.feature_index,
        rate=feature.frac_nonzero if math.isfinite(feature.frac_nonzero) else 0.0,
        maximum=max(strongest[0][0], 0.0) if strongest else 0.0,
        peaks=tuple(peaks)[:_SHOWN],
        promoted=tuple(feature.pos_str[:_SHOWN]),
        file=file,
    )


def _finite(value: float) -> float:
    return value if math.isfinite(value) else -math.inf


def _batch_files(folder: Path) -> list[Path]:
    files = [file for file in folder.rglob("batch-*.json") if file.stem.removeprefix("batch-").isdecimal()]
    if not files:
        raise DashboardError(f"there are no dashboards in {folder}: no file is called batch-N.json")
    return sorted(files, key=lambda file: (file.parent, int(file.stem.removeprefix("batch-"))))


@lru_cache(maxsize=_FILES_KEPT)
def _features(file: Path) -> Mapping[int, DashboardFeature]:
    return {feature.feature_index: feature for feature in read_batch(file).features}
