"""What it takes to write an atlas, the labels that ship with a model, and to check one. See docs/how-to/atlas.md.

python -m scripts.atlas dossier MODEL --db DB --layer 3 --features 0-40 > to-label.txt
python -m scripts.atlas merge part-*.jsonl -o demo/atlas.jsonl --model demo/model --how "…"
python -m scripts.atlas check demo/atlas.jsonl MODEL --db HELD-OUT-DB --sample 60 --seed 1 > to-judge.txt
python -m scripts.atlas tally verdicts.jsonl
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError
from sqlalchemy import Connection, select

from mfn_core.errors import ConfigError, MFNError
from mfn_core.evaluation.concepts import Share
from mfn_server.atlas.dossier import dossier
from mfn_server.atlas.file import AtlasEntry, AtlasHeader, check_features, read_atlas, read_part, write_atlas
from mfn_server.db.migrate import open_database
from mfn_server.db.tables import Feature, Model, Source
from mfn_server.features.reading import feature_page
from mfn_server.model_facts import ModelFacts
from mfn_server.settings import Settings

FEWEST_FIRINGS = 20

Place = tuple[int, int]
"""Layer and feature."""


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; gives the exit status."""
    given = _parser().parse_args(arguments)
    try:
        given.run(given)
    except MFNError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Writes and checks the labels that ship with a model.")
    commands = parser.add_subparsers(required=True)

    command = commands.add_parser("dossier", help="print what a reader needs to label features")
    _index_arguments(command)
    command.add_argument("--layer", type=int, help="of this layer alone; required with --features")
    which = command.add_mutually_exclusive_group(required=True)
    which.add_argument("--features", type=_numbers, metavar="A-B,C", help="these features")
    which.add_argument("--sample", type=int, metavar="N", help="so many, drawn at random")
    command.set_defaults(run=_dossier)

    command = commands.add_parser("merge", help="join parts into an atlas")
    command.add_argument("parts", type=Path, nargs="+", metavar="PART", help="features, one a line; or an atlas")
    command.add_argument("-o", "--out", type=Path, required=True, help="where to write the atlas")
    command.add_argument("--model", type=Path, required=True, help="folder of the model")
    command.add_argument("--how", default="", help="who or what wrote the labels, and how they were checked")
    command.set_defaults(run=_merge)

    command = commands.add_parser("check", help="print labels beside dossiers of other text, to be judged")
    command.add_argument("atlas", type=Path)
    _index_arguments(command)
    command.add_argument("--sample", type=int, metavar="N", default=60, help="so many labels, drawn at random [60]")
    command.set_defaults(run=_check)

    command = commands.add_parser("tally", help="count verdicts")
    command.add_argument("verdicts", type=Path)
    command.set_defaults(run=_tally)
    return parser


def _index_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("model", type=Path, help="folder of the model")
    command.add_argument("--db", required=True, metavar="FILE|URL", help="database with the model's index")
    command.add_argument("--seed", type=int, default=0, help="of what is drawn [0]")
    command.add_argument(
        "--min-firings",
        type=int,
        default=FEWEST_FIRINGS,
        help=f"leave out features that fire less often [{FEWEST_FIRINGS}]",
    )


def _numbers(text: str) -> list[int]:
    """ "3,7-9" -> [3, 7, 8, 9]."""
    numbers: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        numbers += range(int(first), int(last or first) + 1)
    return numbers


# -- commands ---------------------------------------------------------------------------------------------------------


def _dossier(given: argparse.Namespace) -> None:
    if given.features is not None and given.layer is None:
        raise ConfigError("--features goes with --layer")
    with _indexed(given.model, given.db) as index:
        often = index.firing(given.min_firings)
        if given.features is None:
            known = sorted(place for place in often if given.layer in (None, place[0]))
            chosen = _draw(known, given.sample, given.seed)
        else:
            asked = [(given.layer, number) for number in given.features]
            chosen = [place for place in asked if place in often]
            if len(chosen) < len(asked):
                left = f"{len(asked) - len(chosen)} of {len(asked)}"
                print(f"{left} fire less than {given.min_firings} times, or do not exist: left out", file=sys.stderr)
        for place in chosen:
            print(index.dossier(place), end="\n\n")


def _merge(given: argparse.Namespace) -> None:
    facts = _facts(given.model)
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


def _check(given: argparse.Namespace) -> None:
    atlas = read_atlas(given.atlas)
    with _indexed(given.model, given.db) as index:
        if atlas.header.model != index.facts.fingerprint:
            raise ConfigError(f"{given.atlas} is the atlas of another model than {given.model}")
        named = {(entry.layer, entry.feature): entry for entry in atlas.entries.values() if not entry.unclear}
        often = index.firing(given.min_firings)
        chosen = _draw(sorted(place for place in named if place in often), given.sample, given.seed)
        print(
            f"{len(chosen)} of {len(named)} labels, drawn with seed {given.seed} from those whose features fire at "
            f"least {given.min_firings} times in this text ({sum(place in often for place in named)}).\n"
            'For each write a line {"layer": …, "feature": …, "verdict": "held" | "partly" | "not", "note": "…"}.\n'
        )
        for place in chosen:
            entry = named[place]
            print(index.dossier(place))
            print(f"LABEL       {entry.label}  ({entry.confidence} confidence; seen: {entry.seen})", end="\n\n")


class Verdict(BaseModel):
    """How a label did on text that its writer had not seen."""

    model_config = ConfigDict(extra="forbid", strict=True)

    layer: int
    feature: int
    verdict: Literal["held", "partly", "not"]
    note: str = ""


def _tally(given: argparse.Namespace) -> None:
    verdicts: dict[Place, Verdict] = {}
    for number, line in enumerate(given.verdicts.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            verdict = Verdict.model_validate_json(line)
        except ValidationError as error:
            first = error.errors()[0]
            where = "".join(f"{part}: " for part in first["loc"])
            raise ConfigError(f"{given.verdicts}, line {number}: {where}{first['msg']}") from error
        if (verdict.layer, verdict.feature) in verdicts:
            raise ConfigError(f"{given.verdicts}, line {number}: feature {verdict.feature} was judged before")
        verdicts[verdict.layer, verdict.feature] = verdict
    counted = Counter(verdict.verdict for verdict in verdicts.values())
    for kind in ("held", "partly", "not"):
        share = Share(counted[kind], len(verdicts))
        low, high = share.interval()
        print(f"{kind:7}{share.part:5} of {share.whole}  {share.value:6.1%}  (95 %: {low:.1%} to {high:.1%})")


# -- what they share --------------------------------------------------------------------------------------------------


def _draw(places: list[Place], most: int, seed: int) -> list[Place]:
    """At most so many of them, in order."""
    return sorted(random.Random(seed).sample(places, min(most, len(places))))


def _facts(folder: Path) -> ModelFacts:
    from mfn_core.model import MFNModel

    return ModelFacts.of(MFNModel.from_pretrained(folder), folder)


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


@dataclass(frozen=True)
class Index:
    """The current index of a model in a database."""

    facts: ModelFacts
    model_id: int
    token_texts: list[str]
    connection: Connection

    def firing(self, at_least: int) -> set[Place]:
        """The features that fire so often."""
        statement = (
            select(Source.layer, Feature.number)
            .join(Feature, (Feature.source_id == Source.id) & (Feature.run_id == Source.current_run_id))
            .where(Source.model_id == self.model_id, Feature.firing_count >= max(1, at_least))
        )
        return {(row.layer, row.number) for row in self.connection.execute(statement)}

    def dossier(self, place: Place) -> str:
        """The text on one feature."""
        key = next(source.key for source in self.facts.sources if source.layer == place[0])
        return dossier(feature_page(self.connection, self.model_id, key, place[1], self.token_texts))


@contextmanager
def _indexed(folder: Path, database_name: str) -> Iterator[Index]:
    from mfn_core.model import MFNModel
    from mfn_core.tokens import token_strings

    model = MFNModel.from_pretrained(folder)
    if model.tokenizer is None:
        raise ConfigError(f"{folder} has no tokenizer, and without one no text can be shown")
    facts = ModelFacts.of(model, folder)
    database = open_database(Settings(database=database_name).database_url)
    try:
        with database.read() as connection:
            statement = (
                select(Model.id)
                .join(Source, Source.model_id == Model.id)
                .where(Model.fingerprint == facts.fingerprint, Source.current_run_id.is_not(None))
            )
            model_id = connection.scalar(statement.limit(1))
            if model_id is None:
                raise ConfigError(f"{database.name} has no index of {folder}: make one with `mfn index`")
            texts = token_strings(model.tokenizer)
            texts += [""] * (facts.vocab_size - len(texts))  # embeddings may be padded beyond the vocabulary
            yield Index(facts, model_id, texts, connection)
    finally:
        database.close()


if __name__ == "__main__":
    sys.exit(main())
