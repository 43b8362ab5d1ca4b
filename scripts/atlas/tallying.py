"""Verdicts are counted."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict

from mfn_core.errors import ConfigError
from mfn_core.intervals import Share
from mfn_server.atlas.file import Atlas, read_atlas
from scripts.atlas.files import read_lines, write_json
from scripts.atlas.index import Place

Kind = Literal["held", "partly", "not"]
KINDS: tuple[Kind, ...] = get_args(Kind)


class Verdict(BaseModel):
    """How a label did on text that its writer had not seen."""

    model_config = ConfigDict(extra="forbid", strict=True)

    layer: int
    feature: int
    verdict: Kind
    note: str = ""


def tally(given: argparse.Namespace) -> None:
    """`tally`."""
    if given.json is not None and given.atlas is None:
        raise ConfigError("--json goes with --atlas, whose labels the report is on")
    atlas = None if given.atlas is None else read_atlas(given.atlas)
    verdicts = _read(given.verdicts, atlas)
    counted = Counter(verdict.verdict for verdict in verdicts.values())
    shares = {kind: Share(counted[kind], len(verdicts)) for kind in KINDS}
    for kind, share in shares.items():
        low, high = share.interval()
        print(f"{kind:7}{share.part:5} of {share.whole}  {share.value:6.1%}  (95 %: {low:.1%} to {high:.1%})")
    if given.json is not None and atlas is not None:
        write_json(given.json, _report(atlas, shares))


def _read(path: Path, atlas: Atlas | None) -> dict[Place, Verdict]:
    named = None if atlas is None else {(e.layer, e.feature) for e in atlas.entries.values() if not e.unclear}
    verdicts: dict[Place, Verdict] = {}
    for number, verdict in read_lines(path, Verdict):
        place = verdict.layer, verdict.feature
        if place in verdicts:
            raise ConfigError(f"{path}, line {number}: feature {verdict.feature} was judged before")
        if named is not None and place not in named:
            where = f"feature {verdict.feature} of layer {verdict.layer}"
            raise ConfigError(f"{path}, line {number}: the atlas has no label for {where}")
        verdicts[place] = verdict
    return verdicts


def _report(atlas: Atlas, shares: Mapping[Kind, Share]) -> dict[str, Any]:
    confidence = Counter(entry.confidence for entry in atlas.entries.values() if not entry.unclear)
    return {
        "kind": "atlas",
        "model": atlas.header.model,
        "features": confidence.total(),
        "unclear": len(atlas.entries) - confidence.total(),
        "confidence": {kind: confidence[kind] for kind in ("high", "medium", "low")},
        "how": atlas.header.how,
        "checked": shares["held"].whole,
        **{kind: share.to_json() for kind, share in shares.items()},
    }
