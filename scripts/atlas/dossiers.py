"""Dossiers: of features that are to be labelled, and of labelled ones in other text, to be judged."""

from __future__ import annotations

import argparse
import sys

from mfn_core.errors import ConfigError
from mfn_server.atlas.file import read_atlas
from scripts.atlas.index import draw, indexed


def print_dossiers(given: argparse.Namespace) -> None:
    """`dossier`."""
    if given.features is not None and given.layer is None:
        raise ConfigError("--features goes with --layer")
    with indexed(given.model, given.db) as index:
        often = index.firing(given.min_firings)
        if given.features is None:
            known = sorted(place for place in often if given.layer in (None, place[0]))
            chosen = draw(known, given.sample, given.seed)
        else:
            asked = [(given.layer, number) for number in given.features]
            chosen = [place for place in asked if place in often]
            if len(chosen) < len(asked):
                left = f"{len(asked) - len(chosen)} of {len(asked)}"
                print(f"{left} fire less than {given.min_firings} times, or do not exist: left out", file=sys.stderr)
        for place in chosen:
            print(index.dossier(place), end="\n\n")


def print_check(given: argparse.Namespace) -> None:
    """`check`."""
    atlas = read_atlas(given.atlas)
    with indexed(given.model, given.db) as index:
        if atlas.header.model != index.facts.fingerprint:
            raise ConfigError(f"{given.atlas} is the atlas of another model than {given.model}")
        named = {(entry.layer, entry.feature): entry for entry in atlas.entries.values() if not entry.unclear}
        often = index.firing(given.min_firings)
        chosen = draw(sorted(place for place in named if place in often), given.sample, given.seed)
        print(
            f"{len(chosen)} of {len(named)} labels, drawn with seed {given.seed} from those whose features fire at "
            f"least {given.min_firings} times in this text ({sum(place in often for place in named)}).\n"
            'For each write a line {"layer": …, "feature": …, "verdict": "held" | "partly" | "not", "note": "…"}.\n'
        )
        for place in chosen:
            entry = named[place]
            print(index.dossier(place))
            print(f"LABEL       {entry.label}  ({entry.confidence} confidence; seen: {entry.seen})", end="\n\n")
