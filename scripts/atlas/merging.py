"""Parts become an atlas."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path

from mfn_core.errors import ConfigError
from mfn_server.atlas.file import AtlasEntry, AtlasHeader, check_features, read_atlas, read_part, write_atlas
from mfn_server.model_facts import ModelFacts
from scripts.atlas.index import Place, facts_of


def merge(given: argparse.Namespace) -> None:
    """`merge`."""
    facts = facts_of(given.model)
    n_features = {source.layer: source.n_features for source in facts.sources}
    entries: dict[Place, AtlasEntry] = {}
    origin: dict[Place, str] = {}
    for path in given.parts:
        part = _part(path, facts)
        check_features(path, part, n_features)
        for number, entry in part.items():
            place, here = (entry.layer, entry.feature), f"{path}, line {number}"
            if place in entries:
                feature = f"feature {entry.feature} of layer {entry.layer}"
                raise ConfigError(f"{here}: {feature} stands in {origin[place]} already")
            entries[place], origin[place] = entry, here
    write_atlas(given.out, AtlasHeader(model=facts.fingerprint, how=given.how), entries.values())
    counted = Counter("unclear" if entry.unclear else str(entry.confidence) for entry in entries.values())
    kinds = ", ".join(f"{counted[kind]} {kind}" for kind in ("high", "medium", "low", "unclear"))
    print(f"{given.out}: {len(entries)} features ({kinds})")


def _part(path: Path, facts: ModelFacts) -> dict[int, AtlasEntry]:
    """The features of a part, or of an atlas of this model."""
    if not _is_atlas(path):
        return read_part(path)
    atlas = read_atlas(path)
    if atlas.header.model != facts.fingerprint:
        raise ConfigError(f"{path} is the atlas of another model than {facts.name}")
    return dict(atlas.entries)


def _is_atlas(path: Path) -> bool:
    try:
        with path.open(encoding="utf-8") as lines:
            first = json.loads(next(lines, "{}"))
    except (OSError, ValueError):
        return False  # whoever reads it in earnest says what is wrong
    return isinstance(first, dict) and "format" in first
